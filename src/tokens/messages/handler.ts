/**
 * The type of a message handler: it reads the whole body, and returns the body of the reply or throws a
 * SidekeyError.
 */
import type { WireReader } from '../../wire/buffer.ts';
import type { Domain } from '../domain.ts';
import type { RoutedRequest } from '../service.ts';

export type Handler = (domain: Domain, request: RoutedRequest, reader: WireReader) => Promise<Buffer>;

export const EMPTY_REPLY: Buffer = Buffer.alloc(0);
