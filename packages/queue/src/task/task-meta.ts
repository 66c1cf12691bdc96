// What travels with a task beside its input: one small JSON object that stores hand out as it is.

/** What is known of a task beside its input. Names are short: every task carries them. */
export interface TaskMeta {
  /** Version of the input. @defaultValue 1 */
  readonly v?: number;
  /** W3C `traceparent` of whoever added it. */
  readonly tp?: string;
  /** W3C `tracestate`. */
  readonly ts?: string;
}

/** The trace of whoever added a task, as W3C Trace Context writes it. */
export interface TraceCarrier {
  readonly traceparent: string;
  readonly tracestate?: string;
}

/** Longest `tracestate`, in characters, as the W3C asks to be passed on at least; a longer one is left out. */
const MAX_TRACE_STATE = 512;
const TRACE_PARENT = /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/;

/** The text a store keeps; `undefined` when there is nothing to say. */
export function writeMeta(version: number, trace: TraceCarrier | undefined): string | undefined {
  const hasTrace = trace !== undefined && TRACE_PARENT.test(trace.traceparent);
  if (version === 1 && !hasTrace) return undefined;
  const meta: { -readonly [Name in keyof TaskMeta]: TaskMeta[Name] } = {};
  if (version !== 1) meta.v = version;
  if (hasTrace) {
    meta.tp = trace.traceparent;
    const state = trace.tracestate ?? "";
    if (state !== "" && state.length <= MAX_TRACE_STATE) meta.ts = state;
  }
  return JSON.stringify(meta);
}

/** What was written. Text that is none of ours says nothing. */
export function readMeta(text: string | undefined): TaskMeta {
  if (text === undefined || text === "") return {};
  try {
    const { v, tp, ts } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    return {
      ...(Number.isSafeInteger(v) ? { v: v as number } : {}),
      ...(typeof tp === "string" && TRACE_PARENT.test(tp) ? { tp } : {}),
      ...(typeof ts === "string" && ts.length <= MAX_TRACE_STATE ? { ts } : {}),
    };
  } catch {
    return {};
  }
}

/** The trace in it, if there is one. */
export function traceOf({ tp, ts }: TaskMeta): TraceCarrier | undefined {
  if (tp === undefined) return undefined;
  return ts === undefined ? { traceparent: tp } : { traceparent: tp, tracestate: ts };
}
