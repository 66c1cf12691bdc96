import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { root } from "../bootstrap/workspace.mjs";
import { readReport } from "./report.mjs";

const folder = mkdtempSync(join(tmpdir(), "report-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("the report of a run of tests", () => {
  it("names each test that failed, its file and the first line of why", () => {
    const path = written({ numPassedTests: 2, numFailedTests: 1 }, [
      {
        name: join(root, "a.test.ts"),
        status: "passed",
        assertionResults: [{ status: "passed", fullName: "a" }],
      },
      {
        name: join(root, "b.test.ts"),
        status: "failed",
        assertionResults: [
          { status: "passed", fullName: "b" },
          { status: "failed", fullName: "b waits", failureMessages: ["Error: too\n  late\n    at x.ts:1"] },
        ],
      },
    ]);
    expect(readReport(path, 1)).toEqual({
      counts: { passed: 2, failed: 1, skipped: 0 },
      failures: [{ file: "b.test.ts", name: "b waits", message: "Error: too late" }],
    });
  });

  it("counts a file that could not be read as one failure", () => {
    const broken = {
      name: join(root, "c.test.ts"),
      status: "failed",
      message: "no such import",
      assertionResults: [],
    };
    expect(readReport(written({ numPassedTests: 2, numFailedTests: 0 }, [broken]), 1)).toEqual({
      counts: { passed: 2, failed: 1, skipped: 0 },
      failures: [{ file: "c.test.ts", name: "", message: "no such import" }],
    });
  });

  it("takes a run without a test, and one without a report, for a failure", () => {
    const one = { counts: { passed: 0, failed: 1, skipped: 0 }, failures: [] };
    expect(readReport(written({ numPassedTests: 0, numFailedTests: 0 }, []), 0)).toEqual(one);
    expect(readReport(join(folder, "missing.json"), 0)).toEqual(one);
  });
});

/**
 * @param {object} counts
 * @param {readonly object[]} testResults
 */
function written(counts, testResults) {
  const path = join(folder, "report.json");
  writeFileSync(path, JSON.stringify({ numPendingTests: 0, numTodoTests: 0, ...counts, testResults }));
  return path;
}
