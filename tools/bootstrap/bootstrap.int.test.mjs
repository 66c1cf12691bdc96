import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { withLock } from "./lock.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
/** @type {string} */
let repo;

// A repo of three workspaces whose "builds" note that they ran. It installs without any registry.
beforeEach(() => {
  repo = mkdtempSync(join(tmpdir(), "bootstrap-repo-"));
  cpSync(here, join(repo, "tools/bootstrap"), { recursive: true });
  write("package.json", { name: "repo", private: true, workspaces: ["packages/*", "examples/*"] });
  workspace("packages/core", "@x/core", {});
  workspace("packages/queue", "@x/queue", { "@x/core": "1.0.0" });
  workspace("examples/inference", "@x/inference", { "@x/queue": "1.0.0" });
  write("examples/inference/main.js", 'console.log("ARGS " + process.argv.slice(2)); process.exitCode = 7;');
});
afterEach(() => rmSync(repo, { recursive: true, force: true }));

describe("the bootstrap", () => {
  it("installs, builds in order, starts with the arguments given and keeps the exit code", async () => {
    const { code, stdout } = await run("start", "--once");
    expect({ code, stdout }).toEqual({ code: 7, stdout: "ARGS --once\n" });
    expect(built()).toEqual(["@x/core", "@x/queue", "@x/inference"]);
    expect(existsSync(join(repo, "node_modules/@x/core"))).toBe(true);
  });

  it("builds nothing again while nothing changes", async () => {
    await run("build");
    expect((await run("build")).stderr).toBe("");
    expect(built()).toHaveLength(3);
  });

  it("builds again what changed and what depends on it, and only that", async () => {
    await run("build");
    write("packages/queue/src/index.ts", "changed");
    await run("build");
    expect(built().slice(3)).toEqual(["@x/queue", "@x/inference"]);
    rmSync(join(repo, "packages/core/dist"), { recursive: true });
    await run("build");
    expect(built().slice(5)).toEqual(["@x/core"]);
  });

  it("builds each workspace once when two processes begin at once", async () => {
    const both = await Promise.all([run("build"), run("build")]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(built()).toHaveLength(3);
  });

  it("prints what a failing build printed, ends with 1, and builds it again next time", async () => {
    await run("build");
    write("packages/queue/src/index.ts", "FAIL");
    const failing = await run("start");
    expect(failing.code).toBe(1);
    expect(failing.stderr).toContain("building @x/queue failed:\ncannot build this");
    // The same content as before the failure, but the dist folder is that of the failure.
    write("packages/queue/src/index.ts", "");
    expect((await run("build")).code).toBe(0);
    expect(built().slice(3)).toEqual(["@x/queue"]);
  });

  it("hands SIGTERM on to what it started and reports that one's exit code", async () => {
    write(
      "examples/inference/main.js",
      'process.on("SIGTERM", () => process.exit(9)); setInterval(() => {}, 1e3); console.log("READY");',
    );
    const child = start("start");
    await seen(child, "READY");
    child.kill("SIGTERM");
    expect((await ended(child)).code).toBe(9);
  });

  it("ends a running build when it is interrupted, and gives the lock back", async () => {
    write("packages/core/src/index.ts", "HANG");
    const child = start("build");
    await expect.poll(() => existsSync(join(repo, "hanging.pid")), { timeout: 30_000 }).toBe(true);
    const pid = Number(readFileSync(join(repo, "hanging.pid"), "utf8"));
    child.kill("SIGTERM");
    expect((await ended(child)).code).toBe(143);
    expect(existsSync(join(repo, ".cache/bootstrap.lock"))).toBe(false);
    await expect.poll(() => isAlive(pid), { timeout: 5_000 }).toBe(false);
  });

  it("refuses an unknown command by naming those it knows", async () => {
    const { code, stderr } = await run("strat");
    expect(code).toBe(2);
    expect(stderr).toContain('unknown command "strat"; one of start, test');
  });
});

describe("withLock", () => {
  const lockFile = () => join(repo, "some.lock");

  it("takes over from an owner that is gone", async () => {
    const gone = spawn(process.execPath, ["-e", ""]);
    await ended(gone);
    writeFileSync(lockFile(), `${gone.pid} 1`);
    await expect(withLock(lockFile(), async () => "done", 0)).resolves.toBe("done");
    expect(existsSync(lockFile())).toBe(false);
  });

  it("takes over when another process has got the owner's number", async () => {
    writeFileSync(lockFile(), `${process.pid} 1`);
    await expect(withLock(lockFile(), async () => "done", 0)).resolves.toBe("done");
  });

  it("gives up, naming the owner and the file, when a living owner keeps it", async () => {
    const waiting = withLock(lockFile(), () => withLock(lockFile(), async () => "never", 0));
    await expect(waiting).rejects.toThrow(`process ${process.pid} has held ${lockFile()} for too long`);
  });

  it("lets exactly one in at a time when many find the same dead owner", async () => {
    writeFileSync(lockFile(), "4194304 1");
    let inside = 0;
    let most = 0;
    const work = async () => {
      most = Math.max(most, (inside += 1));
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
    };
    await Promise.all(Array.from({ length: 8 }, () => withLock(lockFile(), work)));
    expect(most).toBe(1);
  });
});

/** @param {string} folder @param {string} name @param {Record<string, string>} dependencies */
function workspace(folder, name, dependencies) {
  write(`${folder}/package.json`, {
    name,
    version: "1.0.0",
    type: "commonjs",
    scripts: { build: "node build.cjs" },
    dependencies,
  });
  write(`${folder}/src/index.ts`, "");
  write(
    `${folder}/build.cjs`,
    `const fs = require("node:fs");
    fs.rmSync("dist", { recursive: true, force: true });
    const source = fs.readFileSync("src/index.ts", "utf8");
    fs.mkdirSync("dist");
    if (source === "FAIL") { console.error("cannot build this"); process.exit(3); }
    if (source === "HANG") { fs.writeFileSync("../../hanging.pid", String(process.pid)); setInterval(() => {}, 1e3); }
    if (fs.existsSync("main.js")) fs.copyFileSync("main.js", "dist/main.js");
    fs.appendFileSync("../../built.log", ${JSON.stringify(`${name}\n`)});`,
  );
}

/** @param {string} file @param {unknown} content */
function write(file, content) {
  const at = join(repo, file);
  mkdirSync(join(at, ".."), { recursive: true });
  writeFileSync(at, typeof content === "string" ? content : JSON.stringify(content));
}

/** Names of the workspaces built so far, in the order they were. */
function built() {
  return readFileSync(join(repo, "built.log"), "utf8").trim().split("\n");
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** @param {...string} args */
function start(...args) {
  return spawn(process.execPath, [join(repo, "tools/bootstrap/cli.mjs"), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** @param {...string} args */
function run(...args) {
  return ended(start(...args));
}

/** @param {import("node:child_process").ChildProcess} child */
async function ended(child) {
  let [stdout, stderr] = ["", ""];
  child.stdout?.on("data", (chunk) => (stdout += chunk));
  child.stderr?.on("data", (chunk) => (stderr += chunk));
  const code = await new Promise((resolve) => child.on("close", resolve));
  return { code, stdout, stderr };
}

/** @param {import("node:child_process").ChildProcess} child @param {string} text */
async function seen(child, text) {
  for await (const chunk of child.stdout ?? []) if (String(chunk).includes(text)) return;
  throw new Error(`it ended without ${text}`);
}
