// Prints where the program is, once it is unpacked.
import chromium from "@sparticuz/chromium";

console.log(await chromium.executablePath());
