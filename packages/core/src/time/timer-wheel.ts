// A hierarchical timing wheel (Varghese & Lauck, SOSP 1987, scheme 7): set and cancel in O(1), however many timers.
import type { Timer } from "./clock.ts";

/** Slots per level; 64 keeps a full search of all levels under a microsecond. */
const SLOTS = 64;
/** Levels: 64⁷ ms is 139 years. A timer beyond it goes round the last level again. */
const LEVELS = 7;

/** Milliseconds that one slot of each level spans. */
const SPAN: readonly number[] = Array.from({ length: LEVELS }, (_, level) => SLOTS ** level);

/** A link of a slot's ring. A slot is a ring's head; every other link is a timer. */
interface Link {
  previous: Link;
  next: Link;
}

/** A timer in the wheel. Its fields are the wheel's own. */
export class WheelTimer implements Timer, Link {
  previous: Link = this;
  next: Link = this;
  /** Level the timer is linked into; -1 when it is in none. */
  level = -1;

  constructor(
    private readonly wheel: TimerWheel,
    /** Tick at which it is due. */
    readonly due: number,
    readonly callback: () => void,
    readonly keepAlive: boolean,
  ) {}

  cancel(): void {
    this.wheel.remove(this);
  }
}

/**
 * Holds timers by the whole millisecond ("tick") they are due at. It reads no clock and sets no timer itself:
 * its owner tells it the time.
 */
export class TimerWheel {
  /** Timers in the wheel. */
  size = 0;
  /** Timers in the wheel that must keep the process alive. */
  keepAliveCount = 0;
  #now: number;
  readonly #slots: Link[] = Array.from({ length: LEVELS * SLOTS }, emptyRing);
  readonly #counts: number[] = Array.from({ length: LEVELS }, () => 0);

  constructor(now: number) {
    this.#now = now;
  }

  /** Adds a timer due at `due`; one that is due already fires at the next tick. */
  add(due: number, callback: () => void, keepAlive: boolean): WheelTimer {
    const timer = new WheelTimer(this, Math.max(due, this.#now + 1), callback, keepAlive);
    this.#link(timer);
    this.size += 1;
    if (keepAlive) this.keepAliveCount += 1;
    return timer;
  }

  /** Takes a timer out, if it is still in. */
  remove(timer: WheelTimer): void {
    if (timer.level === -1) return;
    this.#unlink(timer);
    this.#forget(timer);
  }

  /** The earliest tick at which something may be due: a lower bound, exact within the first 64 ms. */
  nextTick(): number {
    return this.#nextSlot()?.start ?? Infinity;
  }

  /** Moves the wheel on to tick `now` and hands out the timers due until then, in the order they are due. */
  advance(now: number): WheelTimer[] {
    const due: WheelTimer[] = [];
    for (;;) {
      const slot = this.#nextSlot();
      if (slot === undefined || slot.start > now) break;
      this.#now = slot.start;
      this.#empty(slot.level, slot.index, due);
    }
    this.#now = Math.max(this.#now, now);
    for (const timer of due) this.#forget(timer);
    return due;
  }

  #link(timer: WheelTimer): void {
    const distance = timer.due - this.#now;
    let level = 0;
    while (level < LEVELS - 1 && distance >= SPAN[level + 1]!) level += 1;
    // Beyond the last level's reach: park it in the farthest slot and look again when that comes round.
    const at = Math.min(timer.due, this.#now + SPAN[LEVELS - 1]! * (SLOTS - 1));
    const head = this.#slots[level * SLOTS + (Math.floor(at / SPAN[level]!) % SLOTS)]!;
    timer.level = level;
    timer.previous = head.previous;
    timer.next = head;
    head.previous.next = timer;
    head.previous = timer;
    this.#counts[level]! += 1;
  }

  #unlink(timer: WheelTimer): void {
    timer.previous.next = timer.next;
    timer.next.previous = timer.previous;
    this.#counts[timer.level]! -= 1;
    timer.level = -1;
  }

  #forget(timer: WheelTimer): void {
    this.size -= 1;
    if (timer.keepAlive) this.keepAliveCount -= 1;
  }

  /** Moves a slot's timers to finer levels, or to `due` when their tick has come. */
  #empty(level: number, index: number, due: WheelTimer[]): void {
    const head = this.#slots[level * SLOTS + index]!;
    while (head.next !== head) {
      const timer = head.next as WheelTimer;
      this.#unlink(timer);
      if (timer.due <= this.#now) due.push(timer);
      else this.#link(timer);
    }
  }

  /** The occupied slot that begins first; of two that begin together, the coarser, whose timers must move down. */
  #nextSlot(): { level: number; index: number; start: number } | undefined {
    let best: { level: number; index: number; start: number } | undefined;
    for (let level = LEVELS - 1; level >= 0; level -= 1) {
      if (this.#counts[level] === 0) continue;
      const span = SPAN[level]!;
      const current = Math.floor(this.#now / span);
      for (let ahead = 1; ahead <= SLOTS; ahead += 1) {
        const start = (current + ahead) * span;
        if (best !== undefined && start >= best.start) break;
        const index = (current + ahead) % SLOTS;
        const head = this.#slots[level * SLOTS + index]!;
        if (head.next !== head) {
          best = { level, index, start };
          break;
        }
      }
    }
    return best;
  }
}

function emptyRing(): Link {
  const head = {} as Link;
  head.previous = head;
  head.next = head;
  return head;
}
