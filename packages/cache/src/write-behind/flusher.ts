// Takes what is due from the log, writes it to the source, and tells the log what came of it.
import type { Timer } from "@holdfast/core";
import { asError, channel, ClosedError, LeaseLostError, TimeoutError } from "@holdfast/core";
import type { WriteBehindEvent, WriteLogFailedEvent, WriteVerdict } from "./contract.ts";
import type { Claim, Settlement } from "./log.ts";
import type { WriteBehindSettings } from "./settings.ts";
import { delayAfter, settlementOf } from "./settlements.ts";
import { errorText } from "./texts.ts";

/** A claim of this process. */
export interface Held {
  readonly claim: Claim;
  /** Of the call to the source that it is part of. */
  readonly controller: AbortController;
  /** When its lease began, by this process's clock: before it was asked for. */
  leasedAt: number;
  /** Another process has it. */
  isLost: boolean;
}

/** Writes claims to the source; answers with an error, or `undefined`, for each. Throws if all have failed. */
export type WriteClaims = (
  claims: readonly Claim[],
  signal: AbortSignal,
) => Promise<readonly (Error | undefined)[]>;

export interface FlusherCounts {
  written: number;
  failures: number;
  deadLetters: number;
  lost: number;
  logFailures: number;
}

/** Part of a lease after which it counts as lost if it could not be renewed; it is renewed each quarter. */
const SAFE_SHARE = 0.75;
/** Least time between two claims, as a part of the delay and in milliseconds: what is due soon after is claimed with it. */
const GAP_SHARE = 0.1;
const MAX_GAP_MS = 50;
/** How long writes may take to end once their signals are aborted at the end, in milliseconds. */
const LAST_WORDS_MS = 1_000;

const ended = /* @__PURE__ */ channel<WriteBehindEvent>("cache", "write_behind");
const logFailed = /* @__PURE__ */ channel<WriteLogFailedEvent>("cache", "write_log");

export class Flusher {
  readonly counts: FlusherCounts = { written: 0, failures: 0, deadLetters: 0, lost: 0, logFailures: 0 };
  /** By key. */
  readonly #held = new Map<string, Held>();
  readonly #batches = new Set<Promise<void>>();
  #early = 0;
  #pumping: Promise<void> | undefined;
  #pumpsAgain = false;
  #stopped: ClosedError | undefined;
  /** Ends waits of this process's own. */
  readonly #stopping = new AbortController();
  #next: { readonly at: number; readonly timer: Timer } | undefined;
  #renewal: Timer | undefined;
  #isRenewing = false;

  constructor(
    private readonly settings: WriteBehindSettings,
    private readonly write: WriteClaims,
    /** Told whenever the log has been told of something. */
    private readonly onSettled: () => void,
  ) {}

  get writing(): number {
    return this.#held.size;
  }

  /** Looks for what is due, after so long. */
  wake(inMs: number): void {
    if (this.#stopped !== undefined) return;
    if (inMs <= 0) {
      this.#pump();
      return;
    }
    const { clock } = this.settings;
    const at = clock.monotonic() + inMs;
    if (this.#next !== undefined && this.#next.at <= at) return;
    this.#next?.timer.cancel();
    const timer = clock.setTimer(inMs, () => {
      this.#next = undefined;
      this.#pump();
    });
    this.#next = { at, timer };
  }

  /** Does not wait for delays, until the function that is answered is called. */
  hurry(): () => void {
    this.#early += 1;
    this.wake(0);
    let isOver = false;
    return () => {
      if (!isOver) this.#early -= 1;
      isOver = true;
    };
  }

  /** Claims no more, aborts what is under way, and waits a while for it to end. */
  async stop(): Promise<void> {
    if (this.#stopped === undefined) {
      const reason = new ClosedError(`the write-behind ${this.settings.name}`);
      this.#stopped = reason;
      this.#next?.timer.cancel();
      this.#stopping.abort(reason);
      for (const { controller } of this.#held.values()) controller.abort(reason);
    }
    const { clock } = this.settings;
    const limit = new AbortController();
    const words = clock.sleep(LAST_WORDS_MS, limit.signal, { keepAlive: true }).catch(() => {});
    await Promise.race([words, this.#untilIdle()]);
    limit.abort();
    this.#renewal?.cancel();
    this.#renewal = undefined;
  }

  /** Counts and tells a failure of the log. */
  logFailed(doing: WriteLogFailedEvent["doing"], error: unknown): void {
    this.counts.logFailures += 1;
    if (logFailed.hasSubscribers)
      logFailed.publish({ writeBehind: this.settings.name, doing, error: asError(error) });
  }

  async #untilIdle(): Promise<void> {
    await this.#pumping;
    while (this.#batches.size > 0) await Promise.all(this.#batches);
  }

  #pump(): void {
    this.#pumpsAgain = true;
    this.#pumping ??= this.#claimAll();
  }

  /** Never rejects. */
  async #claimAll(): Promise<void> {
    while (this.#pumpsAgain) {
      this.#pumpsAgain = false;
      if (await this.#claimOnce()) this.#pumpsAgain = true;
    }
    this.#pumping = undefined;
  }

  /** Whether there may be more that can be claimed at once. */
  async #claimOnce(): Promise<boolean> {
    const { clock, concurrency, batchSize, delayMs, leaseMs, log, pollMs } = this.settings;
    const limit = (concurrency - this.#batches.size) * batchSize;
    // Whatever ends next claims again.
    if (limit <= 0 || this.#stopped !== undefined) return false;
    const leasedAt = clock.monotonic();
    try {
      // After the log could not be asked for long: what is ours stays ours, unless somebody else has it by now.
      if (this.#hasLapsed(leasedAt)) await this.#renewAll();
      const { claims: given, nextInMs } = await log.claim({ limit, leaseMs, early: this.#early > 0 });
      const claims = await this.#sift(given);
      for (let from = 0; from < claims.length; from += batchSize)
        this.#begin(claims.slice(from, from + batchSize), leasedAt);
      const gap = Math.max(1, Math.min(MAX_GAP_MS, delayMs * GAP_SHARE));
      const wait = Math.max(gap, nextInMs ?? Infinity);
      const until = log.traits.shared ? Math.min(wait, pollMs) : wait;
      if (given.length < limit && until < Infinity) this.wake(until);
      return given.length === limit;
    } catch (error) {
      if (this.#stopped !== undefined) return false;
      this.logFailed("claim", error);
      this.wake(pollMs);
      return false;
    }
  }

  #begin(claims: readonly Claim[], leasedAt: number): void {
    const controller = new AbortController();
    const held = claims.map((claim): Held => ({ claim, controller, leasedAt, isLost: false }));
    for (const one of held) this.#held.set(one.claim.key, one);
    this.#renewLater();
    const batch = this.#writeBatch(held, controller).finally(() => {
      for (const { claim } of held) this.#held.delete(claim.key);
      this.#batches.delete(batch);
      if (this.#held.size === 0) {
        this.#renewal?.cancel();
        this.#renewal = undefined;
      }
      this.onSettled();
      this.wake(0);
    });
    this.#batches.add(batch);
  }

  /** Never rejects. */
  async #writeBatch(held: readonly Held[], controller: AbortController): Promise<void> {
    const { clock } = this.settings;
    const startedAt = clock.monotonic();
    const results = await this.#results(held, controller);
    const durationMs = clock.monotonic() - startedAt;
    const ends = held.map((one, index) => this.#endOf(one, results[index]));
    const settlements = ends.flatMap(({ settlement }) => settlement ?? []);
    const outcomes = await this.#settle(held, settlements);
    for (const { claim, settlement, verdict, error } of ends) {
      const index = settlement === undefined ? -1 : settlements.indexOf(settlement);
      const isLost = settlement === undefined || outcomes[index] === "lost";
      this.#tell(claim, isLost ? "lost" : verdict, durationMs, error);
    }
  }

  /** What came of each write: those that have been tried too often already are not tried. */
  async #results(
    held: readonly Held[],
    controller: AbortController,
  ): Promise<readonly (Error | undefined)[]> {
    const { attempts, clock, name, writeDeadlineMs } = this.settings;
    const tried = held.filter(({ claim }) => claim.attempt <= attempts);
    if (tried.length === 0) return [];
    const claims = tried.map(({ claim }) => claim);
    let timer: Timer | undefined;
    // Any other abort is only told to the write: its end is what counts, since two of a key must not run at a time.
    const late = new Promise<never>((_, reject) => {
      timer = clock.setTimer(writeDeadlineMs, () => {
        const error = new TimeoutError(`${name}: a write`, writeDeadlineMs);
        controller.abort(error);
        reject(error);
      });
    });
    let errors: readonly (Error | undefined)[];
    try {
      errors = await Promise.race([this.write(claims, controller.signal), late]);
    } catch (thrown) {
      const error = asError(thrown);
      errors = tried.map(() => error);
    } finally {
      timer?.cancel();
    }
    const byClaim = new Map(tried.map((one, index) => [one, errors[index]]));
    return held.map((one) => byClaim.get(one));
  }

  #endOf({ claim, controller, isLost }: Held, error: Error | undefined): End {
    const { attempts, backoff, random } = this.settings;
    if (claim.attempt > attempts) {
      const text = `${claim.attempt - 1} attempts, the last of which ended with its process`;
      return { claim, verdict: "dead", settlement: settlementOf(claim, { kind: "dead", error: text }) };
    }
    if (isLost) return { claim, verdict: "lost", ...(error === undefined ? {} : { error }) };
    if (error === undefined)
      return { claim, verdict: "written", settlement: settlementOf(claim, { kind: "written" }) };
    const { aborted, reason } = controller.signal;
    // Not the source's fault.
    if (aborted && (reason === this.#stopped || reason instanceof LeaseLostError))
      return { claim, verdict: "wait", error, settlement: settlementOf(claim, { kind: "released" }) };
    const verdict = this.#judge(error, claim.attempt);
    const text = errorText(error);
    if (verdict === "dead")
      return { claim, verdict, error, settlement: settlementOf(claim, { kind: "dead", error: text }) };
    const delayMs = Math.ceil(delayAfter(claim.attempt, backoff, random));
    const counts = verdict === "retry";
    const failed = settlementOf(claim, { kind: "failed", delayMs, counts, error: text });
    return { claim, verdict, error, settlement: failed };
  }

  #judge(error: Error, attempt: number): WriteVerdict {
    const { attempts, judge } = this.settings;
    let verdict: WriteVerdict = "retry";
    try {
      verdict = judge(error, attempt);
    } catch {
      // A rule's own fault; the failure counts.
    }
    return verdict === "retry" && attempt >= attempts ? "dead" : verdict;
  }

  /** Tells the log until it answers, or until this process stops: then leases run out. Never rejects. */
  async #settle(
    held: readonly Held[],
    settlements: readonly Settlement[],
  ): Promise<readonly ("ok" | "lost")[]> {
    const { clock, log, pollMs } = this.settings;
    for (;;) {
      try {
        return settlements.length === 0 ? [] : await log.settle(settlements);
      } catch (error) {
        this.logFailed("settle", error);
        if (this.#stopped !== undefined || held.every(({ isLost }) => isLost))
          return settlements.map(() => "lost");
        await clock.sleep(pollMs, this.#stopping.signal).catch(() => {});
      }
    }
  }

  #renewLater(): void {
    const { clock, leaseMs } = this.settings;
    this.#renewal ??= clock.setTimer(leaseMs / 4, () => {
      this.#renewal = undefined;
      void this.#renew();
    });
  }

  async #renew(): Promise<void> {
    const { clock, leaseMs } = this.settings;
    const now = clock.monotonic();
    for (const one of this.#held.values()) if (now - one.leasedAt >= leaseMs * SAFE_SHARE) abandon(one);
    if (this.#held.size === 0) return;
    this.#renewLater();
    if (this.#isRenewing) return;
    this.#isRenewing = true;
    try {
      await this.#renewAll();
    } catch (error) {
      this.logFailed("renew", error);
    } finally {
      this.#isRenewing = false;
    }
  }

  /** @throws what the log fails with. */
  async #renewAll(): Promise<void> {
    const { clock, leaseMs, log } = this.settings;
    const now = clock.monotonic();
    const held = [...this.#held.values()].filter(({ isLost }) => !isLost);
    const refs = held.map(({ claim: { key, fence } }) => ({ key, fence }));
    const outcomes = await log.renew(refs, leaseMs);
    for (const [index, one] of held.entries()) {
      // It may have ended meanwhile, which is no loss.
      if (outcomes[index] === "ok") one.leasedAt = now;
      else if (this.#held.get(one.claim.key) === one) {
        one.isLost = true;
        abandon(one);
      }
    }
  }

  #hasLapsed(now: number): boolean {
    for (const { isLost, leasedAt } of this.#held.values())
      if (!isLost && now - leasedAt >= this.settings.leaseMs) return true;
    return false;
  }

  /** Those that can be begun: none once this process ends, and no key that it still writes. */
  async #sift(given: readonly Claim[]): Promise<readonly Claim[]> {
    const { log, pollMs } = this.settings;
    const isStopped = this.#stopped !== undefined;
    const claims = isStopped ? [] : given.filter(({ key }) => !this.#held.has(key));
    const rest = given.filter((claim) => !claims.includes(claim));
    if (rest.length === 0) return claims;
    for (const { key } of rest) {
      const old = this.#held.get(key);
      if (old === undefined) continue;
      old.isLost = true;
      abandon(old);
    }
    const later = { kind: "failed", delayMs: pollMs, counts: false, error: "" } as const;
    const ending = isStopped ? ({ kind: "released" } as const) : later;
    try {
      await log.settle(rest.map((claim) => settlementOf(claim, ending)));
    } catch (error) {
      // Their leases run out.
      this.logFailed("settle", error);
    }
    return claims;
  }

  #tell(
    { attempt }: Claim,
    outcome: WriteBehindEvent["outcome"],
    durationMs: number,
    error: Error | undefined,
  ): void {
    const { counts } = this;
    if (outcome === "written") counts.written += 1;
    else if (outcome === "lost") counts.lost += 1;
    else counts.failures += 1;
    if (outcome === "dead") counts.deadLetters += 1;
    if (!ended.hasSubscribers) return;
    const { name: writeBehind } = this.settings;
    ended.publish({
      writeBehind,
      outcome,
      attempt,
      durationMs,
      ...(error === undefined ? {} : { error }),
    });
  }
}

/** How an attempt has ended, and what the log is told; nothing when the claim is known to be lost. */
interface End {
  readonly claim: Claim;
  readonly verdict: WriteBehindEvent["outcome"];
  readonly error?: Error;
  readonly settlement?: Settlement;
}

/** Tells a write that its key may be another's. */
function abandon({ claim, controller }: Held): void {
  if (!controller.signal.aborted) controller.abort(new LeaseLostError("a write", claim.fence));
}
