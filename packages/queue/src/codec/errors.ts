// What can go wrong with stored payloads. No further try helps: at a worker the task fails for good.
import { HoldfastError } from "@holdfast/core";
import type { PayloadPlace } from "./payload-codec.ts";

/** A payload is sealed with a key that is not given here. `code: "PAYLOAD_KEY_UNKNOWN"`. */
export class PayloadKeyError extends HoldfastError {
  override readonly code = "PAYLOAD_KEY_UNKNOWN";
  readonly permanent = true;

  constructor(
    readonly keyId: string,
    place: PayloadPlace,
  ) {
    super(
      `${described(place)} is sealed with the key ${JSON.stringify(keyId.slice(0, 100))}, which is not given`,
    );
  }
}

/** A payload is not what was stored in this place. `code: "PAYLOAD_TAMPERED"`. */
export class PayloadTamperedError extends HoldfastError {
  override readonly code = "PAYLOAD_TAMPERED";
  readonly permanent = true;

  constructor(
    readonly place: PayloadPlace,
    why: string,
    options?: ErrorOptions,
  ) {
    super(`${described(place)} is not what was stored: ${why}`, options);
  }
}

/** A payload that was stored elsewhere is not there any more. `code: "PAYLOAD_LOST"`. */
export class PayloadLostError extends HoldfastError {
  override readonly code = "PAYLOAD_LOST";
  override readonly status = 410;
  readonly permanent = true;

  constructor(
    readonly place: PayloadPlace,
    /** Where it was. */
    readonly key: string,
  ) {
    super(`${described(place)} is not in the blob store any more`);
  }
}

/** A payload went through codecs, and the queue that reads it has none. `code: "PAYLOAD_CODEC_MISSING"`. */
export class PayloadCodecError extends HoldfastError {
  override readonly code = "PAYLOAD_CODEC_MISSING";
  readonly permanent = true;

  constructor(readonly place: PayloadPlace) {
    super(
      `${described(place)} went through codecs, and this queue has none: give it the codecs that all its processes have`,
    );
  }
}

function described({ part, id, queue }: PayloadPlace): string {
  return `the ${part} of task ${id} in queue "${queue}"`;
}
