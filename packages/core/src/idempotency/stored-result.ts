// How an operation's end is written into a store: its value, its failure, or why there is neither.
import { asError } from "../errors/errors.ts";
import { isHoldfastError } from "../errors/holdfast-error.ts";
import { ReplayedFailureError, ResultNotKeptError } from "./errors.ts";
import type { KeyRef } from "./store.ts";

type StoredResult =
  | { readonly ok: true; readonly value?: unknown }
  | { readonly ok: false; readonly name: string; readonly code?: string; message: string; status: number }
  | { readonly ok: true; readonly notKept: string };

/** Answered by an operation whose effect has happened, but whose result is not to be kept. */
export class NotKept {
  /** @param why - Such as `too large (200000 of 131072 bytes)`. */
  constructor(readonly why: string) {}
}

/**
 * A value as text. One that is too long, or that JSON cannot write, is stored as done without it: its effect has
 * happened and must not be repeated for that.
 */
export function encodeValue(value: unknown, maxLength: number): string {
  if (value instanceof NotKept) return notKept(value.why);
  let text: string;
  try {
    text = JSON.stringify({ ok: true, value });
  } catch (error) {
    return notKept(`not JSON (${asError(error).message.slice(0, 120)})`);
  }
  return text.length <= maxLength ? text : notKept(`too large (${text.length} of ${maxLength} characters)`);
}

/** A failure as text: name, code, message and status; neither stack nor cause. */
export function encodeFailure(thrown: unknown, maxLength: number): string {
  const error = asError(thrown);
  const { code } = error as { readonly code?: unknown };
  const room = Math.max(0, maxLength - 600);
  return JSON.stringify({
    ok: false,
    name: error.name.slice(0, 120),
    ...(typeof code === "string" ? { code: code.slice(0, 120) } : {}),
    message: error.message.slice(0, Math.floor(room / 6)),
    status: isHoldfastError(error) ? error.status : 500,
  });
}

/**
 * What a stored text stands for.
 *
 * @throws ReplayedFailureError, ResultNotKeptError
 */
export function decodeResult(ref: KeyRef, text: string): unknown {
  const stored = JSON.parse(text) as StoredResult;
  if (!stored.ok) throw new ReplayedFailureError(stored.name, stored.code, stored.message, stored.status);
  if ("notKept" in stored) throw new ResultNotKeptError(ref, stored.notKept);
  return stored.value;
}

function notKept(why: string): string {
  return JSON.stringify({ ok: true, notKept: why });
}
