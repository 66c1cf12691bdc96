// A JPEG that ends before its picture does decodes to grey; this tells.
import { BrokenImageError } from "./broken-image.ts";

const START_OF_SCAN = 0xda;
const END_OF_IMAGE = 0xd9;

/**
 * Makes sure that a JPEG goes on to its end marker. Within a scan a 0xFF of the data is followed by 0x00, so that the
 * marker cannot be anything else there (ITU-T T.81, §B.1.1.5).
 *
 * @throws BrokenImageError when it does not.
 */
export function guardJpeg(bytes: Uint8Array): void {
  const scan = startOfScan(bytes);
  for (let at = bytes.length - 2; at >= scan; at -= 1)
    if (bytes[at] === 0xff && bytes[at + 1] === END_OF_IMAGE) return;
  throw new BrokenImageError("the JPEG ends in the middle");
}

/** Goes from marker to marker: a thumbnail in the header has scans and ends of its own. */
function startOfScan(bytes: Uint8Array): number {
  let at = 2;
  while (at + 3 < bytes.length) {
    const marker = bytes[at + 1]!;
    if (bytes[at] !== 0xff) break;
    if (marker === START_OF_SCAN) return at + 2;
    at += marker === 0xff ? 1 : 2 + bytes[at + 2]! * 256 + bytes[at + 3]!;
  }
  throw new BrokenImageError("the JPEG has no picture in it");
}
