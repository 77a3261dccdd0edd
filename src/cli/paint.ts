/** Colours, on terminals only: pipes and files get plain text. */

const CODES = { bold: '1', red: '31', green: '32', yellow: '33' } as const;

export type Style = keyof typeof CODES;
export type Paint = (style: Style, text: string) => string;

/** NO_COLOR as in https://no-color.org: present and not empty. */
export function createPaint(
  output: { readonly isTTY?: boolean },
  environment: Readonly<Record<string, string | undefined>>,
): Paint {
  const isPlain = !output.isTTY || Boolean(environment['NO_COLOR']) || environment['TERM'] === 'dumb';
  return isPlain ? (_style, text) => text : (style, text) => `\u001b[${CODES[style]}m${text}\u001b[0m`;
}
