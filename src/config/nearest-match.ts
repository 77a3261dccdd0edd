/** The known word most likely meant by a mistyped one. */

/** Levenshtein distance: insertions, deletions and substitutions. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/**
 * null if nothing is close: more than a third of the word would have to change (two characters of a short
 * one).
 */
export function nearestMatch(word: string, known: readonly string[]): string | null {
  if (word.length > 100) return null;
  const limit = Math.max(2, Math.floor(word.length / 3));
  const ranked = known
    .map((each) => ({ each, distance: editDistance(word.toLowerCase(), each) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance);
  return ranked[0]?.each ?? null;
}

/** The end of an error message: `; did you mean "word"?`, or nothing. */
export function hintAt(word: string, known: readonly string[]): string {
  const match = nearestMatch(word, known);
  return match === null ? '' : `; did you mean "${match}"?`;
}
