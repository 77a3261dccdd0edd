/** Rows under headings, each column as wide as its widest cell. No colours: pipes get the same output. */

const CONTROL = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/** Labels come from applications: a terminal must not interpret them. */
export function printable(text: string): string {
  return text.replace(CONTROL, '\uFFFD');
}

/** Beside tabs, ends of lines and the colours of paint.ts. */
const SHOWN = /\u001b\[\d{1,2}m|[\t\n]|[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/** Whatever a command says, on its way to a terminal: JSON and messages of errors quote what strangers named. */
export function forTerminal(text: string): string {
  return text.replace(SHOWN, (found) => (found.length > 1 || /[\t\n]/.test(found) ? found : '\uFFFD'));
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
