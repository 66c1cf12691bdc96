// Tables, shares, and a bar that says how far it is.

/**
 * Lines of cells, the first column to the left, the others to the right.
 *
 * @param {string[][]} rows
 */
export function table(rows) {
  const columns = Math.max(...rows.map(({ length }) => length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows.map((row) =>
    widths
      .map((width, column) => {
        const cell = row[column] ?? "";
        return column === 0 ? cell.padEnd(width) : cell.padStart(width + 3);
      })
      .join("")
      .trimEnd(),
  );
}

/** @param {number} total */
export function bar(total) {
  let done = 0;
  const isShown = process.stderr.isTTY;
  const step = (/** @type {string} */ what) => {
    done += 1;
    if (!isShown) return;
    const filled = Math.round((done / total) * 30);
    process.stderr.write(
      `\r\x1b[2K[${"#".repeat(filled)}${".".repeat(30 - filled)}] ${done}/${total} ${what}`,
    );
  };
  step.end = () => {
    if (isShown) process.stderr.write("\r\x1b[2K");
  };
  return step;
}

/** @param {Float64Array} sorted @param {number} q */
export function quantile(sorted, q) {
  return sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)] ?? NaN;
}

/** @param {readonly number[]} values */
export function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** @param {number} share */
export function percent(share) {
  return `${(share * 100).toFixed(1)} %`;
}
