/**
 * OASIS's XML encoding of messages (KMIP Profiles 2.1, 5.4.1) as TTLV items, as far as the test cases use it. Their variables ($NOW, $UNIQUE_IDENTIFIER_0)
 * become values of the right type.
 */
import type { TtlvItem } from '../../../src/providers/kmip/ttlv.ts';

export interface NumberTables {
  readonly tags: Map<string, number>;
  /** Keyed by the plain name of the enumeration. */
  readonly enums: Map<string, Map<string, number>>;
}

interface Open {
  readonly name: string;
  readonly children: TtlvItem[];
}

const ELEMENT = /<(\/?)([A-Za-z0-9]+)((?:\s+[a-z]+="[^"]*")*)\s*(\/?)>/g;
const TYPES: Record<string, TtlvItem['type']> = {
  Structure: 'structure',
  Integer: 'integer',
  LongInteger: 'longInteger',
  BigInteger: 'bigInteger',
  Enumeration: 'enumeration',
  Boolean: 'boolean',
  TextString: 'text',
  ByteString: 'bytes',
  DateTime: 'dateTime',
  Interval: 'interval',
  DateTimeExtended: 'dateTimeExtended',
};

function attribute(text: string, name: string): string | null {
  return new RegExp(`\\s${name}="([^"]*)"`).exec(text)?.[1] ?? null;
}

function unescape(text: string): string {
  return text
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&amp;/g, '&');
}

function toNumber(text: string, names: Map<string, number> | undefined): number {
  if (/^-?\d+$/.test(text)) return Number(text);
  if (/^0x[0-9a-fA-F]+$/.test(text)) return Number.parseInt(text, 16);
  return text
    .split(/[ |]+/)
    .reduce((sum, name) => (sum | (names?.get(name.replace(/[^A-Za-z0-9]/g, '')) ?? 1)) >>> 0, 0);
}

function toBigInt(text: string): bigint {
  if (/^-?\d+$/.test(text)) return BigInt(text);
  const date = Date.parse(text);
  return Number.isNaN(date) ? 1_700_000_000n : BigInt(Math.floor(date / 1000));
}

function toLeaf(
  tag: number,
  type: TtlvItem['type'],
  text: string,
  names: Map<string, number> | undefined,
): TtlvItem {
  if (type === 'integer' || type === 'enumeration' || type === 'interval')
    return { tag, type, value: type === 'integer' ? toNumber(text, names) | 0 : toNumber(text, names) };
  if (type === 'boolean') return { tag, type, value: text === 'true' };
  if (type === 'text') return { tag, type, value: unescape(text) };
  if (type === 'bytes') return { tag, type, value: Buffer.from(text, 'hex') };
  if (type === 'bigInteger') {
    const value = Buffer.from(text, 'hex');
    return { tag, type, value: Buffer.concat([Buffer.alloc((8 - (value.length % 8)) % 8), value]) };
  }
  if (type === 'structure') return { tag, type, value: [] };
  return { tag, type, value: toBigInt(text) };
}

/** The messages of one test case, in order. */
export function parseMessages(xml: string, tables: NumberTables): TtlvItem[] {
  const messages: TtlvItem[] = [];
  const stack: Open[] = [];
  const add = (item: TtlvItem): void => void (stack.at(-1)?.children ?? messages).push(item);
  const tagOf = (name: string): number => {
    const tag = tables.tags.get(name);
    if (tag === undefined) throw new Error(`no tag ${name}`);
    return tag;
  };
  for (const [, closing, name = '', attributes = '', empty] of xml
    .replace(/<!--[\s\S]*?-->/g, '')
    .matchAll(ELEMENT)) {
    if (name === 'KMIP') continue;
    if (closing) {
      const open = stack.pop();
      if (open) add({ tag: tagOf(open.name), type: 'structure', value: open.children });
    } else if (empty) {
      const type = TYPES[attribute(attributes, 'type') ?? 'Structure'] ?? 'structure';
      const names = tables.enums.get(name) ?? tables.enums.get(`${name}Enumeration`);
      add(toLeaf(tagOf(name), type, attribute(attributes, 'value') ?? '', names));
    } else stack.push({ name, children: [] });
  }
  return messages;
}
