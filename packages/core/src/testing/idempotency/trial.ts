// One clause on trial: a store without keys, and short words for what is asked of it.
import type {
  BeginOutcome,
  BeginRequest,
  IdempotencyStore,
  KeyLease,
  KeyRef,
  WriteOutcome,
} from "../../idempotency/store.ts";
import { ensure, same } from "../assert.ts";

/** What the suite is run on. */
export interface IdempotencyStoreSubject {
  /** A store for each test; keys of other tests may be in it. The suite closes it. */
  readonly make: () => IdempotencyStore | Promise<IdempotencyStore>;
  /** Lets this many milliseconds pass on the store's clock; never less. */
  readonly advance: (ms: number) => Promise<void>;
  /**
   * How long locks last in the suite, in milliseconds. With a server's clock: long enough for a few calls.
   * @defaultValue 1_000
   */
  readonly lockMs?: number;
}

/** A rule of the contract, and what shows that a store keeps it: it throws if not. */
export interface Clause {
  readonly title: string;
  readonly check: (trial: Trial) => Promise<void>;
  /** Needs a clock that stands still between calls. */
  readonly exact?: boolean;
}

/** Everything a begin may say, but for the key. */
export type BeginWishes = Partial<Omit<BeginRequest, "scope" | "key">>;

export class Trial {
  readonly ref: KeyRef;
  #owners = 0;

  constructor(
    readonly store: IdempotencyStore,
    readonly advance: (ms: number) => Promise<void>,
    readonly lockMs: number,
  ) {
    this.ref = { scope: `trial-${crypto.randomUUID()}`, key: "key" };
  }

  get ttlMs(): number {
    return this.lockMs * 3;
  }

  begin(wishes: BeginWishes = {}, ref: KeyRef = this.ref): Promise<BeginOutcome> {
    this.#owners += 1;
    return this.store.begin({
      fingerprint: "request",
      owner: `owner-${this.#owners}`,
      lockTtlMs: this.lockMs,
      ttlMs: this.ttlMs,
      takeDoubtful: false,
      ...wishes,
      ...ref,
    });
  }

  /** A begin that is to be given the key. */
  async acquire(
    wishes: BeginWishes = {},
    ref: KeyRef = this.ref,
  ): Promise<{ readonly lease: KeyLease; readonly begun: BeginOutcome & { readonly kind: "acquired" } }> {
    const begun = await this.begin(wishes, ref);
    ensure(begun.kind === "acquired", `the key was to be acquired; it is ${begun.kind}`);
    return { lease: { ...ref, fence: begun.fence }, begun };
  }

  /** Lets a lock run out. */
  async outlive(): Promise<void> {
    await this.advance(this.lockMs);
  }

  complete(lease: KeyLease, result: string = '"done"'): Promise<WriteOutcome> {
    return this.store.complete(lease, result, this.ttlMs);
  }

  checkpoint(lease: KeyLease, name: string = "half", data: string = "1"): Promise<WriteOutcome> {
    return this.store.checkpoint(lease, { name, data }, this.lockMs);
  }

  /** Makes sure that all writes under a lease are refused. */
  async refused(lease: KeyLease, why: string): Promise<void> {
    same(await this.store.renew(lease, this.lockMs), "lost", `a renewal ${why}`);
    same(await this.checkpoint(lease, "stolen"), "lost", `a checkpoint ${why}`);
    same(await this.store.fail(lease, true), "lost", `a failure ${why}`);
    same(await this.complete(lease, '"stolen"'), "lost", `a completion ${why}`);
  }
}
