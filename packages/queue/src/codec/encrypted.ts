// Payloads encrypted with AES-256-GCM, each bound to its task.
import { optionsOf } from "@holdfast/core";
import type { Payload } from "../task/payload.ts";
import { envelope, fieldsOf } from "./envelope.ts";
import { PayloadKeyError, PayloadTamperedError } from "./errors.ts";
import { bytesPayload, payloadBytes } from "./payload-bytes.ts";
import type { PayloadCodec, PayloadPlace } from "./payload-codec.ts";

/** A `CryptoKey`, which the types of Node 20 do not know by that name. */
type AesKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

export interface EncryptedOptions {
  /** Which of {@link keys} seals. */
  readonly current: string;
  /** By ID: 32 random bytes each, or an AES-GCM `CryptoKey`. Those that are not current still open. */
  readonly keys: Readonly<Record<string, Uint8Array | AesKey>>;
  /** What to do with a payload that is not sealed: `"accept"` while a queue is being moved. @defaultValue "refuse" */
  readonly plain?: "refuse" | "accept";
}

const WORD = "$sealed";
/** Bytes of the nonce, as NIST SP 800-38D §8.2 wants it. */
const NONCE = 12;
const KEY_BYTES = 32;
const MAX_KEYS = 100;

/**
 * Encrypts payloads with AES-256-GCM. What the store keeps is the ID of the key, a random nonce of 96 bits and the
 * ciphertext. Queue, task ID, task name (of an input) and the kind of payload are authenticated with it: a payload that
 * is put in another place does not open there.
 *
 * To change keys, first add the new one to `keys` everywhere, then make it `current`, and take the old one away when
 * no task of its time is kept. A key should seal at most 2³² payloads, since nonces are random.
 *
 * Names, IDs, groups, progress, log lines and error messages are not payloads and stay readable.
 *
 * @throws InvalidOptionError when an option is not what it must be. Reading throws a {@link PayloadKeyError} or
 * {@link PayloadTamperedError}, which make a task fail for good.
 *
 * @example
 * ```ts
 * import { defineTask, memoryStore, queue } from "@holdfast/queue";
 * import { encrypted } from "@holdfast/queue/codec";
 *
 * const store = memoryStore();
 * const key = crypto.getRandomValues(new Uint8Array(32));
 * const codecs = [encrypted({ current: "2026-11", keys: { "2026-11": key } })];
 * const letters = queue({ name: "letters", store, codecs });
 * const send = defineTask<string, string, string>({ name: "send" });
 * await letters.enqueue(send, "for your eyes only");
 * const [claimed] = await store.claim("letters", { worker: "w", max: 1, leaseMs: 1_000 });
 * claimed?.input.text; // => '["$sealed","2026-11"]'
 * ```
 */
export function encrypted(options: EncryptedOptions): PayloadCodec {
  const check = optionsOf("encrypted");
  const keys = keysOf(check.object("keys", options.keys));
  const current = check.string("current", options.current, 100);
  const plain = check.oneOf("plain", options.plain, ["refuse", "accept"], "refuse");
  const sealer = keys.get(current) ?? check.refuse("current", current, "the ID of one of the keys");
  return {
    name: "encrypted",
    encode: async (payload, place) => {
      const nonce = crypto.getRandomValues(new Uint8Array(NONCE));
      const sealed = await crypto.subtle.encrypt(
        gcm(nonce, place, current),
        await sealer(),
        payloadBytes(payload),
      );
      return envelope(WORD, [current], [nonce, new Uint8Array(sealed)]);
    },
    decode: async (payload, place) => {
      const fields = fieldsOf(WORD, payload);
      if (fields === undefined) {
        if (plain === "accept") return payload;
        throw new PayloadTamperedError(
          place,
          "it is not sealed, as if added by a queue without these codecs",
        );
      }
      const keyId = String(fields[0]);
      const opener = keys.get(keyId);
      if (opener === undefined) throw new PayloadKeyError(keyId, place);
      return open(payload, place, keyId, await opener());
    },
  };
}

async function open(payload: Payload, place: PayloadPlace, keyId: string, key: AesKey): Promise<Payload> {
  const [nonce, sealed] = payload.blobs;
  if (nonce?.byteLength !== NONCE || sealed === undefined)
    throw new PayloadTamperedError(place, "the envelope is broken");
  let bytes: ArrayBuffer;
  try {
    bytes = await crypto.subtle.decrypt(gcm(nonce, place, keyId), key, new Uint8Array(sealed));
  } catch (error) {
    throw new PayloadTamperedError(place, "it was changed, moved, or sealed with another key", {
      cause: error,
    });
  }
  const opened = bytesPayload(new Uint8Array(bytes));
  if (opened === undefined) throw new PayloadTamperedError(place, "what was sealed is no payload");
  return opened;
}

/** What is authenticated beside the ciphertext names the payload's place: fields that cannot run into each other. */
function gcm(nonce: Uint8Array, { queue, id, part, name }: PayloadPlace, keyId: string): AesGcmParams {
  const place = JSON.stringify(["holdfast.queue", 1, keyId, queue, id, part, name]);
  return { name: "AES-GCM", iv: new Uint8Array(nonce), additionalData: new TextEncoder().encode(place) };
}

/** Keys by ID, imported when they are first asked for. */
function keysOf(given: EncryptedOptions["keys"]): ReadonlyMap<string, () => Promise<AesKey>> {
  const check = optionsOf("encrypted");
  const ids = Object.keys(given);
  if (ids.length === 0 || ids.length > MAX_KEYS) check.refuse("keys", ids, `1 to ${MAX_KEYS} keys by ID`);
  return new Map(ids.map((id) => [check.string("keys", id, 100), importerOf(id, given[id]!)]));
}

function importerOf(id: string, key: Uint8Array | AesKey): () => Promise<AesKey> {
  // Neither the key nor its length in bits may show in a message.
  const refuse = (): never =>
    optionsOf("encrypted").refuse("keys", id, `${KEY_BYTES} bytes or a CryptoKey for AES-GCM`);
  if (!(key instanceof Uint8Array)) {
    if (key?.algorithm?.name !== "AES-GCM") refuse();
    return () => Promise.resolve(key);
  }
  if (key.byteLength !== KEY_BYTES) refuse();
  const raw = Uint8Array.from(key);
  let imported: Promise<AesKey> | undefined;
  return () => (imported ??= crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]));
}
