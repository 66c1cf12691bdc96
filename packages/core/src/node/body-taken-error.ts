// What a handler is told that reads a body which is not there any more.
import { HoldfastError } from "../errors/holdfast-error.ts";

/** The body of a request was read before the handler was asked. `code: "BODY_TAKEN"`. */
export class BodyTakenError extends HoldfastError {
  override readonly code = "BODY_TAKEN";

  constructor() {
    super(
      "the body of the request was read before this handler was asked, as by express.json(): put the handler in front of that",
    );
  }
}
