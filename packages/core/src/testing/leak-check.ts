// Leak check: what is left behind on signals, on a clock and in the process since it began.
import type { ManualClock } from "./manual-clock.ts";

/** What to watch. */
export interface LeakCheckOptions {
  /** Signals on which no `abort` listener may be left. */
  readonly signals?: readonly AbortSignal[];
  /** Clocks on which no timer may be left. */
  readonly clocks?: readonly ManualClock[];
  /**
   * Whether to watch what keeps the process alive too: sockets, servers, child processes, timers that are not
   * unref'd. Not in test runners that open such things meanwhile. @defaultValue false
   */
  readonly handles?: boolean;
}

/** What has been left behind since the check began; all empty or 0 when nothing has. */
export interface Leaks {
  /** `abort` listeners added to each signal, in the order given. */
  readonly listeners: readonly number[];
  /** Timers added to each clock, in the order given. */
  readonly timers: readonly number[];
  /** Kinds of resources that keep the process alive, and how many more there are: `{ TCPSocketWrap: 1 }`. */
  readonly handles: Readonly<Record<string, number>>;
}

export interface LeakCheck {
  leaks(): Leaks;
  /** @throws Error that names every leak, when there is one. */
  assertNone(): void;
}

/**
 * Remembers what is there now; tells later what has been added and not been taken away. On hosts other than Node
 * listeners and handles cannot be counted and are reported as none.
 *
 * @example
 * ```ts
 * import { timeout } from "@holdfast/core";
 * import { leakCheck, manualClock } from "@holdfast/core/testing";
 *
 * const clock = manualClock();
 * const { signal } = new AbortController();
 * const check = leakCheck({ signals: [signal], clocks: [clock] });
 * await timeout("1s", { clock }).run(() => "work", { signal });
 * check.assertNone();
 * ```
 */
export function leakCheck(options: LeakCheckOptions): LeakCheck {
  const signals = options.signals ?? [];
  const clocks = options.clocks ?? [];
  const handles = options.handles === true ? resourcesByKind : () => new Map<string, number>();
  const listenersBefore = signals.map(countListeners);
  const timersBefore = clocks.map((clock) => clock.pendingTimers);
  const handlesBefore = handles();

  const leaks = (): Leaks => ({
    listeners: signals.map((signal, index) => Math.max(0, countListeners(signal) - listenersBefore[index]!)),
    timers: clocks.map((clock, index) => Math.max(0, clock.pendingTimers - timersBefore[index]!)),
    handles: Object.fromEntries(
      [...handles()]
        .map(([kind, count]) => [kind, count - (handlesBefore.get(kind) ?? 0)] as const)
        .filter(([, count]) => count > 0),
    ),
  });
  return {
    leaks,
    assertNone: () => {
      const found = describeLeaks(leaks());
      if (found.length > 0) throw new Error(`left behind: ${found.join("; ")}`);
    },
  };
}

function describeLeaks({ listeners, timers, handles }: Leaks): string[] {
  const found: string[] = [];
  listeners.forEach((count, index) => {
    if (count > 0) found.push(`${count} abort listeners on signal ${index}`);
  });
  timers.forEach((count, index) => {
    if (count > 0) found.push(`${count} timers on clock ${index}`);
  });
  for (const [kind, count] of Object.entries(handles)) found.push(`${count} ${kind}`);
  return found;
}

interface Host {
  readonly getBuiltinModule?: (id: string) => unknown;
  readonly getActiveResourcesInfo?: () => string[];
}

// Asked for at run time, so that this module loads on every host.
function host(): Host {
  return (globalThis as { process?: Host }).process ?? {};
}

function countListeners(signal: AbortSignal): number {
  const events = host().getBuiltinModule?.("node:events") as
    { getEventListeners(target: EventTarget, type: string): unknown[] } | undefined;
  return events?.getEventListeners(signal, "abort").length ?? 0;
}

function resourcesByKind(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of host().getActiveResourcesInfo?.() ?? []) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}
