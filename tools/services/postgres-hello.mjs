// What a client says to a PostgreSQL, or a pooler, before anything else.

/** The protocol's SSLRequest, which every server answers with one letter before it knows who asks. */
export const SSL_REQUEST = Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47);

/**
 * Asks for a session. While a server recovers, it answers SSLRequest already but refuses sessions ("E"); "R" is its
 * welcome.
 */
export function startupPacket() {
  const text = Buffer.from("user\0postgres\0database\0postgres\0\0");
  const packet = Buffer.alloc(8 + text.length);
  packet.writeInt32BE(packet.length, 0);
  packet.writeInt32BE(196_608, 4);
  text.copy(packet, 8);
  return packet;
}
