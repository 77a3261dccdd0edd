/**
 * The body of a request: JSON, whatever the content type, since curl -d labels everything as a form. A body
 * that is labelled as a form and does not start like JSON is parsed as one, as in Vault: curl -d
 * plaintext=aGVsbG8%3D.
 */
import { Refusal } from './fault.ts';

export const FORM_TYPE = 'application/x-www-form-urlencoded';

const OPEN = '{'.charCodeAt(0);
/** Space, tab, line feed, carriage return: what JSON permits before a value. */
const BLANKS: readonly (number | undefined)[] = [0x20, 0x09, 0x0a, 0x0d];

export function isFormType(contentType: string | undefined): boolean {
  return contentType?.split(';', 1)[0]?.trim().toLowerCase() === FORM_TYPE;
}

export function parseBody(body: Buffer, isForm: boolean): unknown {
  return isForm && !beginsAsJson(body) ? parseForm(body) : parseJson(body);
}

function beginsAsJson(body: Buffer): boolean {
  let at = 0;
  while (at < body.length && BLANKS.includes(body[at])) at += 1;
  return at === body.length || body[at] === OPEN;
}

/** The parser's own error would quote the body. */
function parseJson(body: Buffer): unknown {
  try {
    return body.length === 0 ? {} : JSON.parse(body.toString('utf8'));
  } catch {
    throw new Refusal(400, 'failed to parse JSON input');
  }
}

/** A repeated name becomes a list. */
function parseForm(body: Buffer): unknown {
  const fields = new Map<string, string | string[]>();
  for (const [name, value] of new URLSearchParams(body.toString('utf8'))) {
    const said = fields.get(name);
    if (Array.isArray(said)) said.push(value);
    else fields.set(name, said === undefined ? value : [said, value]);
  }
  return Object.fromEntries(fields);
}
