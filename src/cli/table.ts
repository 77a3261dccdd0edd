/** Rows under headings, in columns as wide as their widest cell. No colour: the output is the same in a pipe. */

const CONTROL = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/** Labels come from applications: a terminal must not act on them. */
export function printable(text: string): string {
  return text.replace(CONTROL, '\uFFFD');
}

export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const cells = [headings, ...rows].map((row) => row.map(printable));
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)));
  return cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
