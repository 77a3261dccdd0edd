/** slots and mechanisms: the answers of C_GetSlotList, C_GetTokenInfo and C_GetMechanismList. */
import { WireWriter } from '../../wire/buffer.ts';
import { TOKEN_FLAG } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import { PIN_BYTES_MAX, PIN_BYTES_MIN } from '../login/pins.ts';
import { PIN_TRIES } from '../login/pin-check.ts';
import type { TokenRow } from '../store-port.ts';
import { offered } from '../key-use/key-use.ts';
import type { Handler } from './handler.ts';

const LABEL_BYTES = 32;
const SLOT_DESCRIPTION = 'Sidekey';

/** Padded with blanks, not terminated (PKCS#11 3.1, 3.2). A long name is cut between characters. */
function pad(text: string, bytes: number): Buffer {
  let cut = text;
  while (Buffer.byteLength(cut) > bytes) cut = cut.slice(0, -1);
  const padded = Buffer.alloc(bytes, 0x20);
  padded.write(cut);
  return padded;
}

function countFlags(failures: number, low: number, final: number, locked: number): number {
  if (failures >= PIN_TRIES) return locked;
  if (failures === PIN_TRIES - 1) return low | final;
  return failures > 0 ? low : 0;
}

function tokenFlags(domain: Domain, token: TokenRow): number {
  const F = TOKEN_FLAG;
  let flags = F.RNG | F.RESTORE_KEY_NOT_NEEDED | F.DUAL_CRYPTO_OPERATIONS | F.TOKEN_INITIALIZED;
  const needsLogin = domain.catalogue.needsLogin(token);
  // Without a PIN the kernel identifies the caller; programs that log in anyway pass no PIN.
  flags |= needsLogin ? F.LOGIN_REQUIRED : F.PROTECTED_AUTHENTICATION_PATH;
  // Without a login there is nothing left to set up; some tools refuse tokens that lack this flag.
  if (!needsLogin || token.userPin !== null) flags |= F.USER_PIN_INITIALIZED;
  flags |= countFlags(token.userFailures, F.USER_PIN_COUNT_LOW, F.USER_PIN_FINAL_TRY, F.USER_PIN_LOCKED);
  return flags | countFlags(token.soFailures, F.SO_PIN_COUNT_LOW, F.SO_PIN_FINAL_TRY, F.SO_PIN_LOCKED);
}

function writeSlot(writer: WireWriter, slot: number, flags: number, label: string, serial: string): void {
  writer.u64(slot).text(`${SLOT_DESCRIPTION} slot ${slot}`).u8(1).u64(flags);
  writer
    .bytes(pad(label, LABEL_BYTES))
    .bytes(pad('Sidekey', 32))
    .bytes(pad('Sidekey', 16))
    .bytes(pad(serial, 16));
  writer.u64(PIN_BYTES_MIN).u64(PIN_BYTES_MAX);
}

export const handleSlots: Handler = async (domain, request, reader) => {
  reader.end();
  domain.kept.begin();
  const { peer } = await domain.clients.find(request.client);
  const tokens = domain.catalogue.admitted(peer);
  const free = domain.catalogue.freeSlot(peer);
  const writer = new WireWriter(1024).u32(tokens.length + (free === null ? 0 : 1));
  for (const token of tokens)
    writeSlot(writer, token.slot, tokenFlags(domain, token), token.label, token.serial);
  if (free !== null) writeSlot(writer, free, TOKEN_FLAG.RNG | TOKEN_FLAG.LOGIN_REQUIRED, '', '');
  request.letKeep?.();
  return writer.done();
};

export const handleMechanisms: Handler = async (domain, request, reader) => {
  const slot = reader.number();
  reader.end();
  const { peer } = await domain.clients.find(request.client);
  const token = slot === domain.catalogue.freeSlot(peer) ? null : domain.catalogue.inSlot(peer, slot);
  const rows = offered(domain, token?.id ?? 0);
  const writer = new WireWriter(4096).u32(rows.length);
  for (const { type, flags, min, max } of rows) writer.u64(type).u64(flags).u64(min).u64(max);
  return writer.done();
};
