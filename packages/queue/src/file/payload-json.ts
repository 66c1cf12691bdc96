// Payloads in JSON: their bytes as base64.
import type { Checkpoint, NewTask, Settlement } from "../store/store.ts";
import type { Payload } from "../task/payload.ts";

/** Turns the payloads in something round, from bytes to text or back. */
type Turn = (payload: Payload) => Payload;

/** As JSON can say it. Most payloads have no bytes and stay as they are. */
export const packed: Turn = (payload) => {
  if (payload.blobs.length === 0) return payload;
  const blobs = payload.blobs.map((blob) => Buffer.from(blob).toString("base64"));
  return { text: payload.text, blobs: blobs as unknown as readonly Uint8Array[] };
};

/** What was packed. */
export const unpacked: Turn = (payload) => {
  if (payload.blobs.length === 0) return payload;
  const blobs = payload.blobs as unknown as readonly string[];
  return { text: payload.text, blobs: blobs.map((text) => Uint8Array.from(Buffer.from(text, "base64"))) };
};

export function taskWith(turn: Turn, task: NewTask): NewTask {
  return task.input.blobs.length === 0 ? task : { ...task, input: turn(task.input) };
}

export function checkpointWith(turn: Turn, { name, value }: Checkpoint): Checkpoint {
  return { name, value: turn(value) };
}

export function settlementWith(turn: Turn, settlement: Settlement): Settlement {
  return settlement.kind === "complete" ? { ...settlement, result: turn(settlement.result) } : settlement;
}
