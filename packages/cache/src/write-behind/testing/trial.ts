// One clause on trial: a log without writes, and short words for what is asked of it.
import { ensure, present, same } from "@holdfast/core/testing";
import type { AppendRequest, Claim, ClaimRequest, SettleOutcome, Settlement, WriteLog } from "../log.ts";

/** What the suite is run on. */
export interface WriteLogSubject {
  /** A log without any key, for each test. The suite closes it. */
  readonly make: () => WriteLog | Promise<WriteLog>;
  /** Lets at least this many milliseconds pass on the log's clock. */
  readonly advance: (ms: number) => Promise<void>;
  /**
   * How long leases and delays last in the suite, in milliseconds. With a server's clock: long enough for a few calls.
   * @defaultValue 1_000
   */
  readonly unitMs?: number;
}

/** A rule of the contract, and what shows that a log keeps it: it throws if not. */
export interface Clause {
  readonly title: string;
  readonly check: (trial: Trial) => Promise<void>;
}

type Kind = Settlement["kind"];

export class Trial {
  constructor(
    readonly log: WriteLog,
    readonly advance: (ms: number) => Promise<void>,
    readonly unitMs: number,
  ) {}

  /** An append that is to be taken. @returns its version. */
  async append(key: string, value: string, wishes: Partial<AppendRequest> = {}): Promise<number> {
    const outcome = await this.log.append({ key, value, delayMs: 0, maxKeys: 1_000, ...wishes });
    ensure(outcome.kind === "appended", `the append of ${key} was to be taken`);
    return outcome.version;
  }

  async claims(wishes: Partial<ClaimRequest> = {}): Promise<readonly Claim[]> {
    const { claims } = await this.log.claim({ limit: 100, leaseMs: this.unitMs, early: false, ...wishes });
    return claims;
  }

  /** A claim of the one key that is due. */
  async claim(key: string, wishes: Partial<ClaimRequest> = {}): Promise<Claim> {
    const claims = await this.claims(wishes);
    same(
      claims.map((claim) => claim.key),
      [key],
      "the keys that are claimed",
    );
    return present(claims[0], "a claim");
  }

  async nothingDue(why: string, wishes: Partial<ClaimRequest> = {}): Promise<void> {
    const claims = await this.claims(wishes);
    same(
      claims.map(({ key }) => key),
      [],
      `the keys that are claimed ${why}`,
    );
  }

  async settle({ key, fence, version }: Claim, kind: Kind, delayMs: number = 0): Promise<SettleOutcome> {
    const ref = { key, fence, version };
    const settlement: Settlement =
      kind === "failed"
        ? { ...ref, kind, delayMs, counts: true, error: "Error: no" }
        : kind === "dead"
          ? { ...ref, kind, error: "Error: never" }
          : { ...ref, kind };
    const [outcome] = await this.log.settle([settlement]);
    return present(outcome, "an outcome");
  }

  /** A settlement that is to be taken. */
  async settled(claim: Claim, kind: Kind, delayMs?: number): Promise<void> {
    same(await this.settle(claim, kind, delayMs), "ok", `a settlement of ${claim.key} as ${kind}`);
  }

  /** Writes of a key until it is a dead letter. */
  async kill(key: string, value: string = "1"): Promise<void> {
    await this.append(key, value);
    await this.settled(await this.claim(key), "dead");
  }

  /** Makes sure that everything under a claim is refused, and changes nothing. */
  async refused(claim: Claim, why: string): Promise<void> {
    for (const kind of ["written", "failed", "dead", "released"] as const)
      same(await this.settle(claim, kind), "lost", `a settlement as ${kind} ${why}`);
    same(await this.log.renew([claim], this.unitMs), ["lost"], `a renewal ${why}`);
  }

  /** Pending and dead keys. */
  async holds(pending: number, dead: number, when: string): Promise<void> {
    const stats = await this.log.stats();
    same([stats.pending, stats.dead], [pending, dead], `pending and dead keys ${when}`);
  }
}
