import { EventEmitter } from "node:events";
import type { ShutdownReport } from "@holdfast/core";
import { channel, shutdown } from "@holdfast/core";
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

  it("sees one that was begun by hand through when a signal comes, and exits at once on the second", () => {
    const process = new FakeProcess();
    const ending = shutdown({ clock: manualClock(), process });
    ending.onShutdown("hung", () => new Promise(() => {}));
    void ending.trigger("by hand");
    process.emit("SIGTERM");
    expect(process.exits).toEqual([]);
    process.emit("SIGTERM");
    expect(process.exits).toEqual([1]);
  });

  it("exits with 0 when every hook has ended well", async () => {
    const process = new FakeProcess();
    const ending = shutdown({ clock: manualClock(), process });
    ending.onShutdown("http", () => {});
    process.emit("SIGTERM");
    expect(await ending.trigger("again")).toMatchObject({ reason: "SIGTERM", clean: true });
    await Promise.resolve();
    expect(process.exits).toEqual([0]);
  });

  it("starts hooks that wait for none together, and each other one when those before it have ended", async () => {
    const clock = manualClock();
    const ending = shutdown({ clock, process: new FakeProcess() });
    const log: string[] = [];
    const hook = (name: string, ms: number) => async (): Promise<void> => {
      log.push(`${name} starts`);
      await clock.sleep(ms);
      log.push(`${name} ends`);
    };
    ending.onShutdown("http", hook("http", 20));
    ending.onShutdown("cron", hook("cron", 10));
    ending.onShutdown("stores", hook("stores", 1), { after: ["http", "cron"] });
    const done = ending.trigger("test");
    await clock.advance(30);
    expect((await done).clean).toBe(true);
    expect(log).toEqual([
      "http starts",
      "cron starts",
      "cron ends",
      "http ends",
      "stores starts",
      "stores ends",
    ]);
  });

  it("cuts what has not ended within the whole deadline, and tells it so", async () => {
    const clock = manualClock();
    const ending = shutdown({ clock, process: new FakeProcess(), deadline: "5s" });
    let reason: unknown;
    let given = 0;
    ending.onShutdown("slow", ({ signal, remainingMs }) => {
      given = remainingMs;
      signal.addEventListener("abort", () => (reason = signal.reason));
      return new Promise(() => {});
    });
    ending.onShutdown("late", () => {}, { after: ["slow"] });
    const done = ending.trigger("test");
    await clock.advance("5s");
    await clock.advance(0);
    expect((await done).hooks.map(({ status }) => status)).toEqual(["cut", "done"]);
    expect(given).toBe(5_000);
    expect(reason).toMatchObject({ code: "TIMEOUT" });
    expect(clock.pendingTimers).toBe(0);
  });

  it("runs once, whoever triggers it how often, and publishes its report", async () => {
    const reports: ShutdownReport[] = [];
    const stop = channel<ShutdownReport>("core", "shutdown").subscribe((report) => reports.push(report));
    let runs = 0;
    const ending = shutdown({ process: new FakeProcess(), clock: manualClock() });
    ending.onShutdown("once", () => (runs += 1));
    const [first, second] = await Promise.all([ending.trigger("a"), ending.trigger("b")]);
    stop();
    expect(second).toBe(first);
    expect([runs, reports.length, ending.started]).toEqual([1, 1, true]);
  });

  it("listens to no signal any more once it is disposed of", () => {
    const process = new FakeProcess();
    shutdown({ process, clock: manualClock() }).dispose();
    expect(process.listenerCount("SIGTERM")).toBe(0);
  });

  it("refuses names that are taken or not known, and bad options", () => {
    const ending = shutdown({ process: new FakeProcess(), clock: manualClock() });
    ending.onShutdown("http", () => {});
    expect(() => ending.onShutdown("http", () => {})).toThrow(/name/);
    expect(() => ending.onShutdown("x", () => {}, { after: ["y"] })).toThrow(/after/);
    expect(() => ending.onShutdown("x", undefined as never)).toThrow(/hook/);
    expect(() => shutdown({ deadline: 0 })).toThrow(/deadline/);
  });
});
