// A hierarchical timing wheel (Varghese & Lauck, SOSP 1987, scheme 7): set and cancel in O(1), however many timers.
import type { Timer } from "./clock.ts";

/** Slots per level; 64 keeps a full search of all levels under a microsecond. */
const SLOTS = 64;
/** Levels: 64⁷ ms is 139 years. A timer beyond it goes round the last level again. */
const LEVELS = 7;

/** Milliseconds that one slot of each level spans. */
const SPAN: readonly number[] = /* @__PURE__ */ Array.from({ length: LEVELS }, (_, level) => SLOTS ** level);

/** A link of a slot's ring. A slot is a ring's head; every other link is a timer. */
interface Link {
  previous: Link;
  next: Link;
}

/** {@link WheelTimer.level} of a timer that is over: fired, or cancelled. */
const OVER = -1;
/** {@link WheelTimer.level} of a timer that was handed out as due and has not been taken yet. */
const DUE = -2;

/** A timer in the wheel. Its fields are the wheel's own. */
export class WheelTimer implements Timer, Link {
  previous: Link = this;
  next: Link = this;
  /** Level the timer is linked into, or {@link OVER}, or {@link DUE}. */
  level: number = OVER;

  constructor(
    private readonly wheel: TimerWheel,
    /** Tick at which it is due. */
    readonly due: number,
    readonly callback: () => void,
    readonly keepAlive: boolean,
    /** Order of adding, which decides between timers due at the same tick. */
    readonly order: number,
  ) {}

  cancel(): void {
    this.wheel.remove(this);
  }

  /** Whether a timer that was handed out is still to fire: a callback before it may have cancelled it. */
  take(): boolean {
    const fires = this.level === DUE;
    this.level = OVER;
    return fires;
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
  #added = 0;
  readonly #slots: Link[] = Array.from({ length: LEVELS * SLOTS }, emptyRing);
  readonly #counts: number[] = Array.from({ length: LEVELS }, () => 0);

  constructor(now: number) {
    this.#now = now;
  }

  /** Adds a timer due at `due`; one that is due already fires at the next tick. */
  add(due: number, callback: () => void, keepAlive: boolean): WheelTimer {
    this.#added += 1;
    const timer = new WheelTimer(this, Math.max(due, this.#now + 1), callback, keepAlive, this.#added);
    this.#link(timer);
    this.size += 1;
    if (keepAlive) this.keepAliveCount += 1;
    return timer;
  }

  /** Takes a timer out, if it is still in, or has been handed out and not been taken. */
  remove(timer: WheelTimer): void {
    if (timer.level >= 0) {
      this.#unlink(timer);
      this.#forget(timer);
    }
    timer.level = OVER;
  }

  /** The earliest tick at which something may be due: a lower bound, exact within the first 64 ms. */
  nextTick(): number {
    let earliest = Infinity;
    for (let level = LEVELS - 1; level >= 0; level -= 1) {
      if (this.#counts[level] === 0) continue;
      const current = Math.floor(this.#now / SPAN[level]!);
      for (let ahead = 1; ahead <= SLOTS; ahead += 1) {
        const start = (current + ahead) * SPAN[level]!;
        if (start >= earliest) break;
        const head = this.#slots[level * SLOTS + ((current + ahead) % SLOTS)]!;
        if (head.next !== head) earliest = start;
      }
    }
    return earliest;
  }

  /**
   * Moves the wheel on to tick `now` and hands out the timers due until then: by due tick, then in the order
   * they were added. Each must be {@link WheelTimer.take | taken} before it is fired.
   */
  advance(now: number): WheelTimer[] {
    const due: WheelTimer[] = [];
    for (let tick = this.nextTick(); tick <= now; tick = this.nextTick()) {
      this.#now = tick;
      const before = due.length;
      // Slots of several levels can begin at one tick. All of them are emptied now, coarse ones first: once the
      // wheel stands at a tick, a slot that begins there counts as a whole turn away.
      for (let level = LEVELS - 1; level >= 0; level -= 1) {
        if (tick % SPAN[level]! === 0) this.#empty(level, (tick / SPAN[level]!) % SLOTS, due);
      }
      if (due.length - before > 1) sortTail(due, before);
    }
    this.#now = Math.max(this.#now, now);
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
      if (timer.due > this.#now) {
        this.#link(timer);
      } else {
        timer.level = DUE;
        this.#forget(timer);
        due.push(timer);
      }
    }
  }
}

/** Brings the timers of one tick, from index `from` on, into the order they were added in. */
function sortTail(timers: WheelTimer[], from: number): void {
  const tail = timers.splice(from).sort((a, b) => a.order - b.order);
  for (const timer of tail) timers.push(timer);
}

function emptyRing(): Link {
  const head = {} as Link;
  head.previous = head;
  head.next = head;
  return head;
}
