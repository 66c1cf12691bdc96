import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";

// What a wait does to a process can only be seen on a process. It runs the built package, as a user's would.
const packageRoot = fileURLToPath(new URL("..", import.meta.url));

beforeAll(() => {
  if (!existsSync(`${packageRoot}dist/index.js`))
    throw new Error("packages/core is not built: run `npm run build`");
});

/** Runs a script with nothing else to do until it ends by itself. */
function runScript(body: string): Promise<{ readonly exitCode: number | null; readonly output: string }> {
  const script = `import { constant, exponential, pipeline, retry, timeout } from "@holdfast/core";\n${body}`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { cwd: packageRoot });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (exitCode) => resolve({ exitCode, output: output.trim() }));
  });
}

const FAILS_ONCE = `({ attempt }) => { if (attempt === 1) throw new Error("first"); return "second try"; }`;

describe("retry and the life of its process", () => {
  it("[bug 20] sees a wait through although nothing else keeps the process alive", async () => {
    const { exitCode, output } = await runScript(
      `console.log(await retry({ backoff: constant(300) }).run(${FAILS_ONCE}));`,
    );
    expect({ exitCode, output }).toEqual({ exitCode: 0, output: "second try" });
  });

  it("[bug 20] lets the process end in the middle of a wait with keepAlive: false", async () => {
    const { output, exitCode } = await runScript(
      `process.on("exit", () => console.log("ended"));
       void retry({ backoff: constant("1h"), keepAlive: false }).run(${FAILS_ONCE}).then(console.log);`,
    );
    expect({ exitCode, output }).toEqual({ exitCode: 0, output: "ended" });
  });

  it("[bug 4] does not hold the process once the wait has been aborted", async () => {
    const { exitCode, output } = await runScript(
      `const controller = new AbortController();
       const call = retry({ backoff: constant("1h") }).run(${FAILS_ONCE}, { signal: controller.signal });
       setImmediate(() => controller.abort("left"));
       console.log(await call.catch((reason) => reason));`,
    );
    expect({ exitCode, output }).toEqual({ exitCode: 0, output: "left" });
  });

  it("[bug 20] does not hold the process after a call under a long timeout has settled", async () => {
    const { exitCode, output } = await runScript(
      `console.log(await pipeline(timeout("1h"), retry({ backoff: exponential({ base: 1 }) })).run(${FAILS_ONCE}));`,
    );
    expect({ exitCode, output }).toEqual({ exitCode: 0, output: "second try" });
  });
});
