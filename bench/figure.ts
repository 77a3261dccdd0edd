/** Draws the latencies: bars of p50 on a logarithmic scale, a group for each row. */
import { micros, SUBJECTS } from './report.ts';
import { rowsOf, value, type Result } from './result.ts';

const COLOURS = ['#1f6feb', '#8b949e', '#d0a215', '#3fb950'];

export function figure(result: Result): string {
  const rows = rowsOf(result).filter((row) => !/^find-.*-\d+$/.test(row) && row !== 'gcm-64m');
  const height = 30 + rows.length * 58;
  const bars = rows.map((row, i) => group(result, row, 40 + i * 58)).join('');
  const legend = SUBJECTS.map((subject, i) => label(150 + i * 150, 16, subject, COLOURS[i] ?? '#000')).join(
    '',
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 ${height}" font-family="sans-serif" font-size="11">
<rect width="800" height="${height}" fill="#fff"/>
${legend}${bars}</svg>
`;
}

function group(result: Result, row: string, y: number): string {
  const bars = SUBJECTS.map((subject, i) => {
    const ns = value(result, subject, row, 'p50');
    if (Number.isNaN(ns)) return '';
    const width = Math.max(2, (Math.log10(ns) - 2) * 100);
    const at = y + i * 12;
    return `<rect x="110" y="${at}" width="${width.toFixed(0)}" height="10" fill="${COLOURS[i]}"/>${label(116 + width, at + 9, micros(ns), '#333')}`;
  });
  return label(8, y + 26, row, '#000') + bars.join('') + '\n';
}

function label(x: number, y: number, text: string, colour: string): string {
  return `<text x="${x.toFixed(0)}" y="${y}" fill="${colour}">${text}</text>\n`;
}
