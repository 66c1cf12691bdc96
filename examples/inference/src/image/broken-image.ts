// What is wrong with a picture, under a code of its own, since it is told across threads.

/** The bytes are no picture that can be decoded. `code: "BROKEN_IMAGE"`. */
export class BrokenImageError extends Error {
  override readonly name = "BrokenImageError";
  readonly code = "BROKEN_IMAGE";
}
