// What outlives a reload: one record for a log-in under way, one for the session.
//
// In IndexedDB, because it alone can hold a CryptoKey without anybody seeing its bits.

const NAME = "dpop-demo";
const STORE = "records";

/** Return a record, or undefined. */
export const get = (name) => run("readonly", (store) => store.get(name));

export const put = (name, record) => run("readwrite", (store) => store.put(record, name));

/** Remove a record and return it: of two that try, in two tabs, one gets it. */
export const take = (name) =>
  run("readwrite", (store) => {
    const request = store.get(name);
    store.delete(name);
    return request;
  });

/** Remove everything, keys and tokens. */
export const clear = () => run("readwrite", (store) => store.clear());

async function run(mode, act) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
