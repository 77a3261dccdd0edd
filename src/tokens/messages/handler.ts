/** The form of a message's handler: it reads the body to its end, and answers with the reply's body or a SidekeyError. */
import type { WireReader } from '../../wire/buffer.ts';
import type { Domain } from '../domain.ts';
import type { RoutedRequest } from '../service.ts';

export type Handler = (domain: Domain, request: RoutedRequest, reader: WireReader) => Promise<Buffer>;

export const EMPTY_REPLY: Buffer = Buffer.alloc(0);
