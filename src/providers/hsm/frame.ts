/**
 * Frames between the agent and the process that holds a vendor's PKCS#11 library. Bytes only, over a socket pair:
 *
 *     u32 length of the rest | u32 number | u8 code | fields, each u32 length + bytes          (little-endian)
 *
 * A frame may carry a data key in the clear: whoever takes a field owns it and wipes it, and the decoder wipes what it read it from.
 */
export const FRAME_MAX = 512 * 1024;
const FIELDS_MAX = 8;
const HEAD = 5;

export const CODE = {
  // Requests
  configure: 1,
  encrypt: 2,
  decrypt: 3,
  health: 4,
  resident: 5,
  // Answers
  ok: 0x80,
  /** The module or its token said no. */
  refused: 0x81,
  /** It said no to the PIN, which is not to be tried again: a few more tries would lock it. */
  pinRefused: 0x82,
  /** The library is of no use any longer: start another process. */
  lost: 0x83,
  /** What was to be decrypted does not open. */
  dataInvalid: 0x84,
} as const;

export interface HsmFrame {
  readonly number: number;
  readonly code: number;
  readonly fields: readonly Buffer[];
}

/** The caller wipes the result once sent. */
export function encodeFrame({ number, code, fields }: HsmFrame): Buffer {
  const length = fields.reduce((sum, field) => sum + 4 + field.length, HEAD);
  const frame = Buffer.alloc(4 + length);
  frame.writeUInt32LE(length, 0);
  frame.writeUInt32LE(number, 4);
  frame.writeUInt8(code, 8);
  let at = 4 + HEAD;
  for (const field of fields) {
    at = frame.writeUInt32LE(field.length, at);
    at += field.copy(frame, at);
  }
  return frame;
}

function decodeFields(body: Buffer): Buffer[] {
  const fields: Buffer[] = [];
  for (let at = HEAD; at < body.length;) {
    if (fields.length === FIELDS_MAX || body.length - at < 4) throw new Error('a frame has broken fields');
    const length = body.readUInt32LE(at);
    at += 4;
    if (length > body.length - at) throw new Error('a field is longer than its frame');
    fields.push(Buffer.from(body.subarray(at, at + length)));
    at += length;
  }
  return fields;
}

function decodeBody(body: Buffer): HsmFrame {
  const fields = decodeFields(body);
  return { number: body.readUInt32LE(0), code: body.readUInt8(4), fields };
}

export class HsmFrameDecoder {
  #rest: Buffer = Buffer.alloc(0);

  /** Takes the chunk over and wipes it. Throws when the bytes are no frames. */
  push(chunk: Buffer): HsmFrame[] {
    const bytes = Buffer.concat([this.#rest, chunk]);
    this.#rest.fill(0);
    chunk.fill(0);
    const frames: HsmFrame[] = [];
    let at = 0;
    while (bytes.length - at >= 4) {
      const length = bytes.readUInt32LE(at);
      if (length < HEAD || length > FRAME_MAX) throw new Error(`a frame of ${length} bytes`);
      if (bytes.length - at - 4 < length) break;
      frames.push(decodeBody(bytes.subarray(at + 4, at + 4 + length)));
      at += 4 + length;
    }
    this.#rest = Buffer.from(bytes.subarray(at));
    bytes.fill(0);
    return frames;
  }
}
