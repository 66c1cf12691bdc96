// A fleet of breakers over one store, and beside it what may happen to them at most: any of them, at any time.
import type {
  CircuitBreaker,
  CircuitStore,
  CircuitVote,
  FleetCircuit,
  ProbeAnswer,
  ProbeEnd,
  ProbeEndAnswer,
  ProbeRequest,
} from "@holdfast/breaker";
import { circuitBreaker, consecutive, memoryCircuitStore } from "@holdfast/breaker";
import { hasCode } from "@holdfast/core";
import type { Fault, ManualClock } from "@holdfast/core/testing";
import { ensure, manualClock, seededRandom } from "@holdfast/core/testing";
import fc from "fast-check";
import { Line } from "./line.ts";

export const MEMBERS = 3;
export const QUORUM = 2;
export const PROBES = 2;
const WINDOW_MS = 20_000;
const OPEN_MS = 10_000;
const PROBE_MS = 5_000;
const TIMEOUT_MS = 250;

/** What happens next. Calls are named by their place among all that were started. */
export type Step =
  | { readonly do: "call" | "acquire" | "heal" | "pause" | "resume" | "reset"; readonly member: number }
  | { readonly do: "cut"; readonly member: number; readonly fault: Fault }
  | { readonly do: "end"; readonly call: number; readonly failed: boolean }
  | { readonly do: "wait"; readonly ms: number };

const member = fc.nat(MEMBERS - 1);
const faults: readonly Fault[] = [
  { kind: "error" },
  { kind: "lost-reply" },
  { kind: "hang" },
  { kind: "latency", delay: 100 },
  { kind: "latency", delay: 1_000 },
];

/** Any order of what can happen. */
export const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 9,
      arbitrary: fc.record({
        do: fc.constantFrom("call" as const, "call" as const, "acquire" as const),
        member,
      }),
    },
    {
      weight: 8,
      arbitrary: fc.record({ do: fc.constant("end" as const), call: fc.nat(6), failed: fc.boolean() }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant("wait" as const),
        ms: fc.constantFrom(1, TIMEOUT_MS, 1_000, PROBE_MS, OPEN_MS, OPEN_MS + 1, 60_000, 4_000_000),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constant("cut" as const), member, fault: fc.constantFrom(...faults) }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("heal" as const), member }) },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constantFrom("pause" as const, "resume" as const, "reset" as const),
        member,
      }),
    },
  ),
  { minLength: 5, maxLength: 45 },
);

/** One breaker, in a process of its own: with its own clock and its own line to the store. */
interface Member {
  readonly name: string;
  readonly clock: ManualClock;
  readonly line: Line;
  readonly breaker: CircuitBreaker;
  /** Changes of its state, but for those that time makes. */
  changes: number;
  /** How long it has slept, in milliseconds; undefined while it runs. */
  slept: number | undefined;
}

interface Call {
  readonly member: Member;
  end: ((failed: boolean) => void) | undefined;
  isDecided: boolean;
}

export class Fleet {
  readonly #clock = manualClock();
  readonly #store = memoryCircuitStore({ clock: this.#clock });
  readonly #members: readonly Member[];
  readonly #calls: Call[] = [];
  /** What the store has been told, and has answered: votes, leases by token, and the circuit. */
  readonly #votes: { readonly voter: string; readonly at: number; readonly generation: number }[] = [];
  readonly #leases = new Map<
    string,
    { readonly holder: string; readonly generation: number; readonly endsAt: number }
  >();
  /** What a breaker would take for a failure of its store, or of a task. */
  readonly #violations: string[] = [];
  #circuit: Pick<FleetCircuit, "generation" | "state"> = { generation: 0, state: "closed" };

  constructor() {
    this.#members = Array.from({ length: MEMBERS }, (_, index) => this.#memberOf(`m${index}`, index + 1));
  }

  /** @throws ConformanceError when something has happened since that may not. */
  async take(step: Step): Promise<void> {
    await this.#do(step);
    ensure(this.#violations.length === 0, this.#violations.join("; "));
  }

  async #do(step: Step): Promise<void> {
    if (step.do === "wait") return this.#wait(step.ms);
    if (step.do === "end")
      return this.#end(this.#calls[step.call % Math.max(1, this.#calls.length)], step.failed);
    const one = this.#members[step.member]!;
    if (step.do === "resume") return this.#resume(one);
    if (one.slept !== undefined) return;
    switch (step.do) {
      case "call":
        this.#call(one);
        return this.#settle();
      case "acquire":
        this.#acquire(one);
        return this.#settle();
      case "cut":
        return one.line.cut(step.fault);
      case "heal":
        return this.#heal(one);
      case "pause":
        one.slept = 0;
        return undefined;
      case "reset":
        one.breaker.reset();
        return this.#settle();
    }
  }

  /** When all is well again, all breakers close. */
  async recovers(): Promise<void> {
    for (const one of this.#members) {
      await this.#resume(one);
      await this.#heal(one);
    }
    for (const call of this.#calls) await this.#end(call, false);
    for (let round = 0; round < 12; round += 1) {
      await this.#wait(2 * OPEN_MS);
      for (const one of this.#members) {
        const call = this.#call(one);
        await this.#settle();
        await this.#end(call, false);
      }
    }
    for (const one of this.#members) await this.#heal(one);
    const states = this.#members.map(({ breaker }) => breaker.state);
    ensure(
      states.every((state) => state === "closed"),
      `in the end they are ${states.join(", ")}`,
    );
    const joined = this.#members.map(({ breaker }) => breaker.snapshot().share?.status);
    ensure(
      joined.every((status) => status === "joined"),
      `in the end they are ${joined.join(", ")}`,
    );
  }

  #must(holds: boolean, what: string): void {
    if (!holds) this.#violations.push(what);
  }

  #memberOf(name: string, seed: number): Member {
    const clock = manualClock();
    const line = new Line(this.#watched(name), clock);
    const one: Member = {
      name,
      clock,
      line,
      changes: 0,
      slept: undefined,
      breaker: circuitBreaker({
        name,
        trip: consecutive({ failures: 1 }),
        openFor: { initial: OPEN_MS, max: OPEN_MS },
        probes: PROBES,
        probeDeadline: PROBE_MS,
        clock,
        random: seededRandom(seed),
        onStateChange: ({ reason }) => {
          if (reason !== "open_time_over") one.changes += 1;
        },
        share: {
          store: line.store,
          key: "callee",
          instance: name,
          quorum: QUORUM,
          voteWindow: WINDOW_MS,
          timeout: TIMEOUT_MS,
        },
      }),
    };
    return one;
  }

  #call(one: Member): Call {
    const call: Call = { member: one, end: undefined, isDecided: false };
    this.#calls.push(call);
    const work = () =>
      new Promise<void>((resolve, reject) => {
        this.#started(one);
        call.isDecided = true;
        call.end = (failed) => (failed ? reject(new Error("down")) : resolve());
      });
    one.breaker.run(work).catch((error: unknown) => {
      if (hasCode(error, "CIRCUIT_OPEN")) call.isDecided = true;
    });
    return call;
  }

  #acquire(one: Member): void {
    const permit = one.breaker.acquire();
    if (!permit.admitted) return;
    this.#started(one);
    const end = (failed: boolean) => (failed ? permit.fail(new Error("down")) : permit.succeed());
    this.#calls.push({ member: one, end, isDecided: true });
  }

  /** Whoever probes an open fleet, and can see that it is open, has a lease. */
  #started({ name, breaker }: Member): void {
    const { state, share } = breaker.snapshot();
    if (state !== "half-open" || share?.status !== "joined" || share.fleet.state !== "open") return;
    if (share.fleet.generation !== this.#circuit.generation) return;
    const isLeased = [...this.#leases.values()].some(({ holder }) => holder === name);
    this.#must(isLeased, `${name} probes without a lease`);
  }

  async #end(call: Call | undefined, failed: boolean): Promise<void> {
    if (call?.end === undefined || call.member.slept !== undefined) return;
    call.end(failed);
    call.end = undefined;
    await this.#settle();
  }

  async #heal(one: Member): Promise<void> {
    const before = one.changes;
    one.line.heal();
    await this.#settle();
    this.#must(
      one.changes - before <= 1,
      `${one.name} has changed ${one.changes - before} times as it came back`,
    );
  }

  async #resume(one: Member): Promise<void> {
    const { slept } = one;
    one.slept = undefined;
    if (slept !== undefined) await one.clock.advance(slept);
  }

  async #wait(ms: number): Promise<void> {
    await this.#clock.advance(ms);
    for (const one of this.#members)
      if (one.slept === undefined) await one.clock.advance(ms);
      else one.slept += ms;
    if (ms < TIMEOUT_MS) return;
    const waiting = this.#calls.filter(
      ({ member: { slept }, isDecided }) => slept === undefined && !isDecided,
    );
    this.#must(waiting.length === 0, `${waiting.length} calls wait for longer than the store may take`);
  }

  #settle(): Promise<void> {
    return this.#clock.advance(0);
  }

  /** The store as one member sees it, with all that is asked of it held against what may happen at most. */
  #watched(holder: string): CircuitStore {
    const store = this.#store;
    return {
      traits: store.traits,
      read: (key) => store.read(key),
      vote: async (vote) => {
        const before = this.#circuit;
        this.#votes.push({ voter: vote.voter, at: this.#clock.monotonic(), generation: vote.generation });
        const circuit = await store.vote(vote);
        this.#mayVote(vote, before, circuit);
        return circuit;
      },
      leaseProbe: async (request) => {
        const answer = await store.leaseProbe(request);
        this.#mayLease(holder, request, answer);
        return answer;
      },
      probeEnded: async (end) => {
        const answer = await store.probeEnded(end);
        this.#mayJudge(end, answer);
        return answer;
      },
      watch: (watcher) => store.watch(watcher),
      close: () => store.close(),
    };
  }

  #mayVote(
    { generation }: CircuitVote,
    before: Pick<FleetCircuit, "generation" | "state">,
    after: FleetCircuit,
  ): void {
    if (after.generation > before.generation && after.state === "open") {
      const now = this.#clock.monotonic();
      const voters = this.#votes.filter(
        (vote) => now - vote.at < WINDOW_MS && vote.generation >= before.generation,
      );
      const distinct = new Set(voters.map(({ voter }) => voter)).size;
      this.#must(distinct >= QUORUM, `opened by ${distinct} voters, the last of generation ${generation}`);
    }
    this.#is(after);
  }

  #mayLease(holder: string, { token, leaseMs }: ProbeRequest, { granted, circuit }: ProbeAnswer): void {
    const now = this.#clock.monotonic();
    this.#is(circuit);
    if (granted && !this.#leases.has(token))
      this.#leases.set(token, { holder, generation: circuit.generation, endsAt: now + leaseMs });
    const out = [...this.#leases.values()].filter(({ endsAt }) => now < endsAt);
    this.#must(out.length <= PROBES, `${out.length} probes are out`);
  }

  #mayJudge({ token, verdict }: ProbeEnd, { accepted, circuit }: ProbeEndAnswer): void {
    const lease = this.#leases.get(token);
    const isCurrent =
      lease !== undefined &&
      this.#clock.monotonic() < lease.endsAt &&
      lease.generation === this.#circuit.generation;
    this.#must(isCurrent || !accepted, `a stale prober was heard: ${verdict}`);
    this.#must(
      isCurrent || [0, this.#circuit.generation].includes(circuit.generation),
      "a stale prober has changed something",
    );
    if (accepted) this.#leases.delete(token);
    this.#is(circuit);
  }

  #is({ generation, state }: FleetCircuit): void {
    if (generation === 0) {
      this.#circuit = { generation: this.#circuit.generation, state: "closed" };
      return;
    }
    this.#must(
      generation >= this.#circuit.generation,
      `generation ${generation} after ${this.#circuit.generation}`,
    );
    if (generation > this.#circuit.generation) this.#leases.clear();
    this.#circuit = { generation, state };
  }
}
