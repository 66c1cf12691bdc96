// A file holds one idea: it is rarely above 400 lines, never above 600.
import { isSource } from "../layout.mjs";

const RARELY = 400;
const NEVER = 600;

/** @type {import("../tree.mjs").Rule} */
export const fileLength = {
  name: "file-length",
  check(tree) {
    return tree.files.filter(isSource).flatMap((file) => {
      const lines = tree.text(file).split("\n").length - 1;
      if (lines <= RARELY) return [];
      const limit = lines > NEVER ? NEVER : RARELY;
      return [{ file, message: `${lines} lines, above ${limit}: split it by idea`, warning: lines <= NEVER }];
    });
  },
};
