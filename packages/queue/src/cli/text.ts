// Answers as text for a terminal: columns, times, and nothing that a terminal would obey.

/** Rows in columns as wide as their widest cell; the last one is cut at the terminal's width. */
export function table(rows: readonly (readonly (string | number)[])[], columns: number): string {
  const cells = rows.map((row) => row.map((cell) => plain(String(cell))));
  const widths = (cells[0] ?? []).map((_, index) => Math.max(...cells.map((row) => row[index]?.length ?? 0)));
  const isNumber = (rows[1] ?? rows[0] ?? []).map((cell) => typeof cell === "number");
  return cells
    .map((row) => {
      const line = row
        .map((cell, index) =>
          isNumber[index] === true ? cell.padStart(widths[index]!) : cell.padEnd(widths[index]!),
        )
        .join("  ")
        .trimEnd();
      return `${line.length > columns ? `${line.slice(0, Math.max(0, columns - 1))}…` : line}\n`;
    })
    .join("");
}

/** One line without control characters: a task's name or log must not move the cursor or colour the screen. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, " ");
}

export function time(at: number): string {
  return new Date(at).toISOString().replace("T", " ").replace("Z", "");
}
