import { EventEmitter } from "node:events";
import { shutdown } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";

class FakeProcess extends EventEmitter {
  readonly exits: number[] = [];
  exit(code: number): void {
    this.exits.push(code);
  }
}

describe("shutdown", () => {
  it("runs hooks in order, says who failed and who was cut, and exits with 1", async () => {
    const clock = manualClock();
    const process = new FakeProcess();
    const ending = shutdown({ clock, process, deadline: "10s" });
    const order: string[] = [];
    ending.onShutdown("http", () => Promise.reject(new Error("stuck")), { deadline: "1s" });
    ending.onShutdown("queue", () => new Promise(() => {}), { after: ["http"], deadline: "2s" });
    ending.onShutdown("stores", () => order.push("stores"), { after: ["queue"] });
    process.emit("SIGTERM");
    await clock.advance("3s");
    const report = await ending.trigger("again");
    expect(report.reason).toBe("SIGTERM");
    expect(report.hooks.map(({ status }) => status)).toEqual(["failed", "cut", "done"]);
    expect(order).toEqual(["stores"]);
    expect(process.exits).toEqual([1]);
    expect(process.listenerCount("SIGTERM")).toBe(0);
  });

  it("exits at once on a second signal", () => {
    const process = new FakeProcess();
    const ending = shutdown({ clock: manualClock(), process });
    ending.onShutdown("hung", () => new Promise(() => {}));
    process.emit("SIGINT");
    process.emit("SIGINT");
    expect(process.exits).toEqual([1]);
  });
});
