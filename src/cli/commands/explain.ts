import { nearestMatch } from '../../config/nearest-match.ts';
import { explainCode, explainNumber, KNOWN_CODES, type Explanation } from '../../error-pages.ts';
import { SidekeyError } from '../../errors.ts';
import { JSON_OPTION, type Command } from '../command.ts';

/**
 * A name as it appears in programs and logs: CKR_PIN_INCORRECT, PIN_INCORRECT, pin_incorrect; or a number:
 * 0xa0, 160.
 */
function explain(text: string): Explanation[] {
  if (/^(0x[\da-f]{1,16}|\d{1,16})$/i.test(text)) return explainNumber(Number(text));
  return explainCode(text) ?? explainCode(`ckr_${text}`) ?? [];
}

function refusal(text: string): SidekeyError {
  const match = nearestMatch(text, KNOWN_CODES);
  const hint = match ? `; did you mean ${match.startsWith('ckr_') ? match.toUpperCase() : match}?` : '';
  return new SidekeyError('usage', `explain: there is no error "${text}"${hint}`);
}

function formatExplanation({ title, what, why, cure }: Explanation): string {
  return `${title}\n  ${what}\n  Why: ${why}\n  What to do: ${cure}`;
}

export const explainCommand: Command = {
  name: 'explain',
  summary: 'explain an error and what to do about it',
  help: 'Accepts a PKCS#11 return value by name or number, or a Sidekey error by code or status. For a return value that stands for\nseveral errors, explains each: the log shows which one occurred. Needs no running instance.',
  options: { ...JSON_OPTION },
  positionals: [
    { name: 'CODE', required: true, help: 'name or number: CKR_PIN_INCORRECT, 0xa0, 160, pin_incorrect, 54' },
  ],
  examples: ['sidekey explain CKR_DEVICE_ERROR', 'sidekey explain 0xa4', 'sidekey explain provider_refused'],
  async run({ positionals, values, say }) {
    const [text = ''] = positionals;
    const found = explain(text);
    if (found.length === 0) throw refusal(text);
    if (values['json']) say(JSON.stringify(found, null, 2));
    else say(found.map(formatExplanation).join('\n\n'));
    return 0;
  },
};
