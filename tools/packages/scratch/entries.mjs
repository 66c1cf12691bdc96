// Imports and requires every entry named on the command line; prints what is wrong as JSON.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const faults = [];
for (const { specifier, peers } of JSON.parse(process.argv[2])) {
  try {
    const imported = await import(specifier);
    const required = require(specifier);
    const names = Object.keys(imported);
    if (names.length === 0) faults.push(`${specifier} exports nothing`);
    if (names.includes("default")) faults.push(`${specifier} has a default export`);
    for (const name of names)
      if (imported[name] !== required[name])
        faults.push(`${specifier}: ${name} is two things, imported and required`);
  } catch (error) {
    const missing = /Cannot find package '([^']+)'/.exec(error.message)?.[1];
    // An entry may stand on its peer, which this application has not installed.
    if (!peers.includes(missing)) faults.push(`${specifier} cannot be loaded: ${error.message}`);
  }
}
console.log(JSON.stringify(faults));
