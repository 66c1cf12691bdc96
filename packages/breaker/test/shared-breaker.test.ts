import type {
  CircuitBreaker,
  CircuitBreakerOptions,
  CircuitShareEvent,
  CircuitStateEvent,
  CircuitStore,
  Permit,
  ShareOptions,
} from "@holdfast/breaker";
import { circuitBreaker, circuitBreakers, consecutive, memoryCircuitStore } from "@holdfast/breaker";
import { channel, hasCode } from "@holdfast/core";
import type { FaultyCall, ManualClock } from "@holdfast/core/testing";
import { faulty, leakCheck, manualClock, seededRandom } from "@holdfast/core/testing";
import { beforeEach, describe, expect, it } from "vitest";

let clock: ManualClock;
let store: CircuitStore;

beforeEach(() => {
  clock = manualClock();
  store = memoryCircuitStore({ clock });
});

/** Trips after one failure, for 10 s; two of a fleet open it. */
function member(options: CircuitBreakerOptions = {}, share: Partial<ShareOptions> = {}): CircuitBreaker {
  return circuitBreaker({
    name: "db",
    trip: consecutive({ failures: 1 }),
    openFor: "10s",
    probeDeadline: "5s",
    clock,
    random: seededRandom(1),
    ...options,
    share: { store, ...share },
  });
}

const down = new Error("down");
const fail = (breaker: CircuitBreaker): Promise<unknown> =>
  breaker.run(() => Promise.reject(down)).catch((thrown: unknown) => thrown);
const succeed = (breaker: CircuitBreaker): Promise<unknown> =>
  breaker.run(() => "fine").catch((thrown: unknown) => thrown);
/** Lets all that can settle settle. */
const settle = (): Promise<void> => clock.advance(0);
const states = (...breakers: readonly CircuitBreaker[]): readonly string[] =>
  breakers.map(({ state }) => state);

async function openFleet(...breakers: readonly CircuitBreaker[]): Promise<void> {
  for (const breaker of breakers.slice(0, 2)) await fail(breaker);
  await settle();
}

/** A call that a test ends when it wants to. */
function hanging(breaker: CircuitBreaker) {
  let resolve!: (value: unknown) => void;
  let reject!: (error: unknown) => void;
  const work = new Promise((yes, no) => {
    resolve = yes;
    reject = no;
  });
  let hasStarted = false;
  const ended = breaker
    .run(() => {
      hasStarted = true;
      return work;
    })
    .catch((error: unknown) => error);
  return {
    ended,
    succeed: () => resolve("late"),
    fail: () => reject(down),
    get hasStarted() {
      return hasStarted;
    },
  };
}

/** A store that fails as long as it is told to, and counts its calls. */
function switched() {
  const real = store;
  const calls: string[] = [];
  const state = { fault: undefined as "error" | "hang" | "lost-reply" | undefined, calls };
  store = faulty(real, {
    methods: ["read", "vote", "leaseProbe", "probeEnded"],
    plan: ({ method }: FaultyCall) => {
      calls.push(method);
      return state.fault === undefined ? undefined : { kind: state.fault };
    },
    clock,
  });
  return state;
}

describe("a breaker that is shared", () => {
  it("opens for the whole fleet when a quorum of it has tripped, not before", async () => {
    const [a, b, c] = [member(), member(), member()];
    await fail(a);
    await settle();
    expect(states(a, b, c)).toEqual(["open", "closed", "closed"]);
    expect(a.snapshot().share).toMatchObject({
      status: "joined",
      quorum: 2,
      fleet: { state: "closed", votes: 1 },
    });
    await fail(b);
    expect(b.state).toBe("open");
    await settle();
    expect(states(a, b, c)).toEqual(["open", "open", "open"]);
    expect(c.snapshot().share?.fleet.state).toBe("open");
  });

  it("tells why it has opened and closed: the fleet", async () => {
    const events: CircuitStateEvent[] = [];
    const [a, b, c] = [member(), member(), member({ onStateChange: (event) => events.push(event) })];
    await openFleet(a, b);
    await clock.advance("11s");
    expect(await succeed(a)).toBe("fine");
    await settle();
    expect(states(a, b, c)).toEqual(["closed", "closed", "closed"]);
    expect(events.map(({ from, to, reason }) => `${from} → ${to}: ${reason}`)).toEqual([
      "closed → open: shared",
      "open → closed: shared",
    ]);
  });

  it("asks nothing of the store while it is closed, and not for what is refused", async () => {
    const { calls } = switched();
    const [a, b] = [member(), member()];
    for (let call = 0; call < 100; call += 1) await succeed(a);
    expect(calls).toEqual([]);
    await openFleet(a, b);
    expect(calls).toEqual(["vote", "vote"]);
    for (let call = 0; call < 100; call += 1) await fail(a);
    expect(calls).toEqual(["vote", "vote"]);
  });

  it("trips at once here, whatever the store does", async () => {
    const faults = switched();
    faults.fault = "hang";
    const breaker = member();
    await fail(breaker);
    expect(breaker.state).toBe("open");
  });

  it("lets one probe go in the whole fleet, and refuses the others without parking them", async () => {
    const [a, b, c] = [member(), member(), member()];
    await openFleet(a, b, c);
    await clock.advance("11s");
    const probe = hanging(a);
    await settle();
    expect(probe.hasStarted).toBe(true);
    for (const other of [a, b, c])
      expect(await succeed(other)).toMatchObject({ code: "CIRCUIT_OPEN", state: "half-open" });
    probe.succeed();
    expect(await probe.ended).toBe("late");
    await settle();
    expect(states(a, b, c)).toEqual(["closed", "closed", "closed"]);
  });

  it("needs as many successes as it is told, of whichever instance", async () => {
    const [a, b] = [member({ probes: 2 }), member({ probes: 2 })];
    await openFleet(a, b);
    await clock.advance("11s");
    await succeed(a);
    await settle();
    expect(states(a, b)).toEqual(["half-open", "half-open"]);
    expect(a.snapshot().share?.fleet).toMatchObject({ probed: 1, probing: 0 });
    await succeed(b);
    await settle();
    expect(states(a, b)).toEqual(["closed", "closed"]);
  });

  it("opens the whole fleet anew, for longer, when a probe fails", async () => {
    const openFor = { initial: "10s", max: "1h", factor: 2, jitter: 0 } as const;
    const [a, b, c] = [member({ openFor }), member({ openFor }), member({ openFor })];
    await openFleet(a, b);
    await clock.advance("10s");
    expect(states(a, b, c)).toEqual(["half-open", "half-open", "half-open"]);
    await fail(b);
    await settle();
    for (const one of [a, b, c])
      expect(one.snapshot()).toMatchObject({ state: "open", opens: 2, openForMs: 20_000 });
  });

  it("stays open for as long as a callee has asked, in the whole fleet", async () => {
    const [a, b, c] = [member(), member(), member()];
    const busy = Object.assign(new Error("busy"), { retryAfterMs: 60_000 });
    await fail(a);
    await b.run(() => Promise.reject(busy)).catch(() => {});
    await settle();
    for (const one of [a, b, c]) expect(one.snapshot().openForMs).toBe(60_000);
  });

  it("frees the place of a prober that was killed, and does not hear one that was paused", async () => {
    const [a, b, c] = [member(), member(), member()];
    await openFleet(a, b, c);
    await clock.advance("10s");
    // It holds the lease, and says nothing: its process is dead, or sleeps.
    const paused = hanging(a);
    await settle();
    expect(paused.hasStarted).toBe(true);
    await clock.advance("6s");
    expect(await succeed(b)).toBe("fine");
    await settle();
    expect(states(b, c)).toEqual(["closed", "closed"]);
    paused.fail();
    await paused.ended;
    await settle();
    expect(states(b, c)).toEqual(["closed", "closed"]);
    expect(a.state).toBe("closed");
  });

  it("takes a probe that hangs for failed, and tells the fleet while its lease lasts", async () => {
    const [a, b] = [member(), member()];
    await openFleet(a, b);
    await clock.advance("10s");
    const hung = hanging(a);
    await settle();
    await clock.advance("5s");
    expect(a.state).toBe("open");
    await settle();
    expect(states(a, b)).toEqual(["open", "open"]);
    expect(b.snapshot().opens).toBe(2);
    hung.succeed();
    await hung.ended;
    await settle();
    expect(states(a, b)).toEqual(["open", "open"]);
  });

  it("gives the place of an aborted probe to another instance", async () => {
    const [a, b] = [member(), member()];
    await openFleet(a, b);
    await clock.advance("10s");
    const controller = new AbortController();
    const reason = new Error("no longer needed");
    const aborted = a.run(({ signal }) => clock.sleep("1h", signal), { signal: controller.signal });
    const thrown = aborted.catch((error: unknown) => error);
    await settle();
    controller.abort(reason);
    expect(await thrown).toBe(reason);
    await settle();
    expect(await succeed(b)).toBe("fine");
  });

  it("leaves the wait for a lease at once when the caller aborts, and gives the lease back", async () => {
    const [a, b] = [member(), member()];
    await openFleet(a, b);
    await clock.advance("10s");
    const real = store;
    store = faulty(real, { plan: [{ kind: "latency", delay: 100 }], methods: ["leaseProbe"], clock });
    const slow = member();
    const controller = new AbortController();
    const check = leakCheck({ signals: [controller.signal], clocks: [clock] });
    const reason = new Error("no longer needed");
    let calls = 0;
    const waiting = slow
      .run(() => (calls += 1), { signal: controller.signal })
      .catch((error: unknown) => error);
    await settle();
    controller.abort(reason);
    expect(await waiting).toBe(reason);
    await clock.advance("1s");
    expect(calls).toBe(0);
    expect(slow.snapshot().share?.status).toBe("joined");
    check.assertNone();
    expect(await succeed(b)).toBe("fine");
  });

  it("lets a call through that waited for a lease while the fleet has closed", async () => {
    const [a, b] = [member(), member()];
    await openFleet(a, b);
    await clock.advance("10s");
    const real = store;
    store = faulty(real, { plan: [{ kind: "latency", delay: 100 }], methods: ["leaseProbe"], clock });
    const slow = member();
    const waiting = succeed(slow);
    await settle();
    await succeed(a);
    await clock.advance("1s");
    expect(await waiting).toBe("fine");
    expect(slow.state).toBe("closed");
  });

  it("gives a probe all of its time, however long it has waited for its lease", async () => {
    const real = store;
    store = faulty(real, { plan: () => ({ kind: "latency", delay: 200 }), methods: ["leaseProbe"], clock });
    const slow = member({ probeDeadline: "100ms" });
    store = real;
    await openFleet(member(), member());
    await clock.advance("10s");
    const probe = hanging(slow);
    await clock.advance("150ms");
    expect(await succeed(slow)).toMatchObject({ code: "CIRCUIT_OPEN", state: "half-open" });
    await clock.advance("100ms");
    expect(probe.hasStarted).toBe(true);
    await clock.advance("20ms");
    probe.succeed();
    await probe.ended;
    await settle();
    expect(slow.state).toBe("closed");
  });

  it("gives a lease back that comes when it has no use for it any more", async () => {
    const real = store;
    store = faulty(real, { plan: () => ({ kind: "latency", delay: 100 }), methods: ["leaseProbe"], clock });
    const slow = member();
    store = real;
    const [a, b] = [member(), member()];
    await openFleet(a, b);
    await clock.advance("10s");
    const waiting = hanging(slow);
    slow.reset();
    await clock.advance("100ms");
    expect(waiting.hasStarted).toBe(true);
    const permit = b.acquire();
    expect(permit.admitted).toBe(false);
    await settle();
    expect(b.acquire().admitted).toBe(true);
    await slow.close();
    const ahead = member({}, { store: faulty(real, { plan: [{ kind: "latency", delay: 100 }], clock }) });
    await clock.advance("11s");
    expect(ahead.acquire().admitted).toBe(false);
    ahead.reset();
    await clock.advance("100ms");
    expect(await succeed(a)).toBe("fine");
  });

  it("asks the store for a probe's place a few times a second at most, however many call", async () => {
    const { calls } = switched();
    const [a, b] = [member(), member()];
    await openFleet(a, b);
    await clock.advance("11s");
    void hanging(a);
    await settle();
    calls.length = 0;
    for (let second = 0; second < 4; second += 1) {
      for (let call = 0; call < 200; call += 1) await succeed(b);
      await clock.advance("1s");
    }
    expect(calls.length).toBeLessThanOrEqual(4);
    expect(new Set(calls)).toEqual(new Set(["leaseProbe"]));
  });

  it("gives a permit to those who cannot wait: the first is refused, the next has the lease in hand", async () => {
    const [a, b] = [member(), member()];
    await openFleet(a, b);
    await clock.advance("10s");
    const first = a.acquire();
    expect(first).toMatchObject({ admitted: false, state: "half-open" });
    expect((first as { retryAfterMs: number }).retryAfterMs).toBeLessThanOrEqual(250);
    await settle();
    const permit = a.acquire() as Permit;
    expect(permit.admitted).toBe(true);
    expect(a.acquire().admitted).toBe(false);
    expect(b.acquire().admitted).toBe(false);
    permit.succeed();
    await settle();
    expect(states(a, b)).toEqual(["closed", "closed"]);
  });

  it("does not use a lease in hand that nobody wanted in time: it runs out, and others probe", async () => {
    const [a, b] = [member(), member()];
    await openFleet(a, b);
    await clock.advance("10s");
    a.acquire();
    await settle();
    await clock.advance("5s");
    expect(a.acquire().admitted).toBe(false);
    await clock.advance("6s");
    expect(await succeed(b)).toBe("fine");
  });

  it("answers a refused probe as a value, and lets it through where nothing is enforced", async () => {
    const [a, b] = [member(), member({ enforce: false })];
    await openFleet(a, b);
    await clock.advance("10s");
    const probe = hanging(a);
    await settle();
    expect(await a.tryRun(() => 1)).toMatchObject({ admitted: false, state: "half-open" });
    expect(await b.tryRun(() => 1)).toEqual({ admitted: true, value: 1 });
    expect(await succeed(b)).toBe("fine");
    expect(b.acquire().admitted).toBe(true);
    probe.succeed();
    await probe.ended;
    await settle();
    expect(await a.tryRun(() => 1)).toEqual({ admitted: true, value: 1 });
  });

  it("does not count a vote beyond its window, nor the votes of one instance twice", async () => {
    const [a, b] = [member({}, { instance: "one", voteWindow: "5s" }), member({}, { voteWindow: "5s" })];
    const again = member({}, { instance: "one", voteWindow: "5s" });
    await openFleet(a, again);
    expect(a.snapshot().share?.fleet).toMatchObject({ state: "closed", votes: 1 });
    await clock.advance("5s");
    await fail(b);
    await settle();
    expect(b.snapshot().share?.fleet).toMatchObject({ state: "closed", votes: 1 });
  });

  it("is this instance's alone when it is isolated, reset or restored", async () => {
    const [a, b] = [member(), member()];
    const release = a.isolate();
    await openFleet(b, member());
    expect(states(a, b)).toEqual(["isolated", "open"]);
    b.reset();
    expect(b.state).toBe("closed");
    expect(await succeed(b)).toBe("fine");
    release();
    await clock.advance("10s");
    expect(await succeed(a)).toBe("fine");
    await settle();
    expect(a.state).toBe("closed");
    b.restore({ state: "open", opens: 1, openForMs: 1_000 });
    await settle();
    expect(states(a, b)).toEqual(["closed", "open"]);
  });

  it("gives its leases back when it is isolated or reset while it probes", async () => {
    for (const stop of ["isolate", "reset"] as const) {
      const share = { key: stop };
      const [a, b] = [member({}, share), member({}, share)];
      await openFleet(a, b);
      await clock.advance("10s");
      const probe = hanging(a);
      await settle();
      a[stop]();
      await settle();
      expect(await succeed(b)).toBe("fine");
      probe.fail();
      await probe.ended;
      await settle();
      expect(b.state).toBe("closed");
    }
  });

  it("opens as soon as it is made when the fleet is open", async () => {
    await openFleet(member(), member());
    await clock.advance("4s");
    expect(member().snapshot()).toMatchObject({
      state: "open",
      openForMs: expect.closeTo(6_000, -2.5) as number,
    });
  });

  it("ramps up after the fleet has closed", async () => {
    const rampUp = { over: "10s", from: 0.1 } as const;
    const [a, b] = [member({ rampUp }), member({ rampUp })];
    await openFleet(a, b);
    await clock.advance("10s");
    await succeed(a);
    await settle();
    for (const one of [a, b]) expect(one.snapshot()).toMatchObject({ state: "closed", admits: 0.1 });
  });
});

describe("a breaker whose store is gone", () => {
  it.each(["error", "hang", "lost-reply"] as const)(
    "decides by itself, says so, and nobody waits longer than the store's time-out (%s)",
    async (fault) => {
      const events: CircuitShareEvent[] = [];
      const stop = channel<CircuitShareEvent>("breaker", "share").subscribe((event) => events.push(event));
      const faults = switched();
      const [a, b] = [member(), member()];
      await openFleet(a, b);
      await clock.advance("11s");
      faults.fault = fault;
      const started = clock.monotonic();
      const probing = succeed(a);
      await clock.advance(250);
      expect(await probing).toBe("fine");
      expect(clock.monotonic() - started).toBe(250);
      await clock.advance("1s");
      expect(a.state).toBe("closed");
      expect(a.snapshot().share).toMatchObject({ status: "alone" });
      expect(events.at(-1)).toMatchObject({
        breaker: "db",
        status: "alone",
        error: expect.any(Error) as Error,
      });
      // Purely local from here on.
      await fail(a);
      expect(a.state).toBe("open");
      await clock.advance("11s");
      expect(await succeed(a)).toBe("fine");
      expect(a.state).toBe("closed");
      stop();
    },
  );

  it("votes once it is back, if it is still open then", async () => {
    const faults = switched();
    const [a, b, c] = [member(), member(), member()];
    faults.fault = "error";
    await fail(a);
    await fail(b);
    await clock.advance("10s");
    expect(states(a, b, c)).toEqual(["half-open", "half-open", "closed"]);
    faults.fault = undefined;
    await fail(a);
    await settle();
    expect(a.snapshot().share).toMatchObject({ status: "joined", fleet: { votes: 1 } });
    await fail(b);
    await settle();
    expect(states(a, b, c)).toEqual(["open", "open", "open"]);
  });

  it("does not flap when it is back: what it knew before, and has found out better since, is not followed twice", async () => {
    const events: string[] = [];
    const faults = switched();
    const onStateChange = ({ to, reason }: CircuitStateEvent) => events.push(`${to}: ${reason}`);
    const [a, b] = [member({ onStateChange }), member()];
    await openFleet(a, b);
    faults.fault = "error";
    await clock.advance("11s");
    expect(await succeed(a)).toBe("fine");
    faults.fault = undefined;
    // Any news tells that the store is there.
    await openFleet(member({}, { key: "other" }), member({}, { key: "other" }));
    expect(a.snapshot()).toMatchObject({
      state: "closed",
      share: { status: "joined", fleet: { state: "open" } },
    });
    expect(await succeed(b)).toBe("fine");
    await settle();
    expect(a.snapshot()).toMatchObject({ state: "closed", share: { fleet: { state: "closed" } } });
    expect(events).toEqual(["open: tripped", "half-open: open_time_over", "closed: probes_succeeded"]);
  });

  it("does not close because the fleet does when its own probe has failed since", async () => {
    const events: string[] = [];
    const faults = switched();
    const onStateChange = ({ to, reason }: CircuitStateEvent) => events.push(`${to}: ${reason}`);
    const [a, b] = [member({ onStateChange }), member()];
    await openFleet(a, b);
    await clock.advance("11s");
    faults.fault = "error";
    await fail(a);
    faults.fault = undefined;
    expect(await succeed(b)).toBe("fine");
    await settle();
    expect(states(a, b)).toEqual(["open", "closed"]);
    expect(a.snapshot().share).toMatchObject({ status: "joined", fleet: { state: "closed", votes: 1 } });
    await clock.advance("1m");
    expect(await succeed(a)).toBe("fine");
    expect(events).toEqual([
      "open: tripped",
      "half-open: open_time_over",
      "open: probe_failed",
      "half-open: open_time_over",
      "closed: probes_succeeded",
    ]);
  });

  it("follows what the fleet has decided meanwhile, once", async () => {
    const events: string[] = [];
    const faults = switched();
    const alone = circuitBreaker({
      trip: consecutive({ failures: 1 }),
      openFor: "10s",
      clock,
      share: { store, key: "db" },
      onStateChange: ({ to, reason }) => events.push(`${to}: ${reason}`),
    });
    faults.fault = "error";
    await fail(alone);
    await clock.advance("1s");
    expect(alone.snapshot().share?.status).toBe("alone");
    faults.fault = undefined;
    await openFleet(member(), member());
    await clock.advance("1s");
    expect(alone.snapshot()).toMatchObject({
      state: "open",
      share: { status: "joined", fleet: { state: "open" } },
    });
    expect(events).toEqual(["open: tripped"]);
  });

  it("goes on by itself when the store has forgotten the circuit", async () => {
    store = memoryCircuitStore({ clock, keep: "1s" });
    const [a, b] = [member(), member()];
    await openFleet(a, b);
    await clock.advance("1m");
    expect(await succeed(a)).toBe("fine");
    expect(a.state).toBe("closed");
    expect(await succeed(b)).toBe("fine");
    expect(b.state).toBe("closed");
  });

  it("looks for its fleet once a second at most, and only when calls come that may probe", async () => {
    const faults = switched();
    const breaker = member({ probeDeadline: "1m" });
    faults.fault = "error";
    await fail(breaker);
    await clock.advance("11s");
    faults.calls.length = 0;
    void hanging(breaker);
    for (let call = 0; call < 50; call += 1) {
      await succeed(breaker);
      await clock.advance(100);
    }
    expect(faults.calls.length).toBeLessThanOrEqual(1);
  });
});

describe("the end of a shared breaker", () => {
  it("gives its leases back, says how many, and is local from then on", async () => {
    const [a, b] = [member(), member()];
    await openFleet(a, b);
    await clock.advance("10s");
    const probe = hanging(a);
    await settle();
    expect(await a.close()).toEqual({ leasesReturned: 1 });
    expect(await a.close()).toEqual({ leasesReturned: 0 });
    expect(a.snapshot().share?.status).toBe("left");
    expect(await succeed(b)).toBe("fine");
    probe.succeed();
    await probe.ended;
    await fail(b);
    await fail(member());
    await settle();
    await fail(a);
    expect(a.state).toBe("open");
  });

  it("settles within its time when the store hangs, and leaves no timer", async () => {
    const check = leakCheck({ clocks: [clock] });
    const faults = switched();
    const [a, b] = [member(), member()];
    await openFleet(a, b);
    await clock.advance("10s");
    void hanging(a);
    await settle();
    faults.fault = "hang";
    const closing = a.close({ within: "100ms" });
    await clock.advance("100ms");
    expect(await closing).toEqual({ leasesReturned: 0 });
    await clock.advance("1s");
    check.assertNone();
    await expect(a.close({ within: "never" as never })).rejects.toMatchObject({ code: "INVALID_OPTION" });
    await using local = circuitBreaker();
    expect(await local.close()).toEqual({ leasesReturned: 0 });
  });

  it("holds no timer while nothing is asked of the store", async () => {
    const check = leakCheck({ clocks: [clock] });
    const [a, b] = [member(), member()];
    await openFleet(a, b);
    await clock.advance("11s");
    await succeed(a);
    await settle();
    check.assertNone();
  });
});

describe("options of share", () => {
  it("are checked when the breaker is made", () => {
    expect(() => member({}, { quorum: 0 })).toThrow(/share\.quorum/);
    expect(() => member({}, { voteWindow: 0 })).toThrow(/share\.voteWindow/);
    expect(() => member({}, { timeout: 0 })).toThrow(/share\.timeout/);
    expect(() => member({}, { key: "" })).toThrow(/share\.key/);
    expect(() => member({}, { instance: "x".repeat(201) })).toThrow(/share\.instance/);
    expect(() => member({}, { store: {} as never })).toThrow(/share\.store/);
    expect(() => circuitBreakers({ share: { store: {} as never } })).toThrow(/circuitBreakers.*share\.store/);
  });
});

describe("circuitBreakers that are shared", () => {
  const keyed = (options = {}) =>
    circuitBreakers({
      name: "host",
      trip: consecutive({ failures: 1 }),
      openFor: "10s",
      clock,
      share: { store },
      ...options,
    });
  const failAt = (hosts: ReturnType<typeof keyed>, key: string) => fail(hosts.for(key));

  it("share each key's circuit under its own", async () => {
    const [one, two, three] = [keyed(), keyed(), keyed()];
    three.for("a");
    await failAt(one, "a");
    await failAt(two, "a");
    await failAt(two, "b");
    await settle();
    expect(states(three.for("a"), three.for("b"))).toEqual(["open", "closed"]);
    expect(three.open().map(({ name }) => name)).toEqual(["host:a"]);
  });

  it("know what is open before a key is first asked for, without a call to the store", async () => {
    const { calls } = switched();
    const [one, two, three] = [keyed(), keyed(), keyed()];
    await failAt(one, "a");
    await failAt(two, "a");
    await settle();
    calls.length = 0;
    await clock.advance("4s");
    expect(three.for("a").snapshot()).toMatchObject({ state: "open", openForMs: 6_000 });
    expect(three.open().map(({ name }) => name)).toEqual(["host:a"]);
    for (let key = 0; key < 100; key += 1) await three.for(`k${key}`).run(() => key);
    expect(calls).toEqual([]);
  });

  it("keep keys that are cut alike in names apart, and do not share those that are too long", async () => {
    const long = "x".repeat(300);
    const [one, two, three] = [keyed(), keyed(), keyed()];
    for (const hosts of [one, two]) await failAt(hosts, `${long}a`);
    for (const hosts of [one, two]) await failAt(hosts, long.repeat(2));
    await settle();
    expect(states(three.for(`${long}a`), three.for(`${long}b`))).toEqual(["open", "closed"]);
    expect(three.for(long.repeat(2)).snapshot()).not.toHaveProperty("share");
    expect(three.for(long.repeat(2)).state).toBe("closed");
  });

  it("hear of keys that were forgotten and made anew, and keep no more than they may", async () => {
    const [one, two, three] = [keyed(), keyed(), keyed({ maxKeys: 2 })];
    for (let key = 0; key < 10; key += 1) three.for(`k${key}`);
    for (const hosts of [one, two]) await failAt(hosts, "k0");
    await settle();
    expect(three.for("k0").state).toBe("open");
    expect(three.size).toBe(2);
  });

  it("hear of a key through the breaker that has it now, also when a forgotten one still speaks", async () => {
    const [one, two] = [keyed({ maxKeys: 1 }), keyed()];
    const forgotten = one.for("a");
    one.for("other");
    const present = one.for("a");
    await fail(forgotten);
    await failAt(two, "a");
    await settle();
    expect(states(forgotten, present)).toEqual(["open", "open"]);
  });

  it("end together", async () => {
    const [one, two] = [keyed(), keyed()];
    for (const hosts of [one, two]) await failAt(hosts, "a");
    await settle();
    await clock.advance("10s");
    void hanging(one.for("a"));
    await settle();
    expect(await one.for("b").close()).toEqual({ leasesReturned: 0 });
    expect(one.for("a").snapshot().share?.status).toBe("joined");
    expect(await one.close()).toEqual({ leasesReturned: 1 });
    expect(one.for("a").snapshot().share?.status).toBe("left");
    await using local = circuitBreakers();
    expect(await local.close()).toEqual({ leasesReturned: 0 });
    expect(hasCode(await succeed(two.for("a")), "CIRCUIT_OPEN")).toBe(false);
  });
});
