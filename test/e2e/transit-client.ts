/** Requests to the HTTP API of an instance, as curl would send them. */
import { request } from 'node:http';
import type { Instance } from './instance.ts';

export interface ApiAnswer {
  readonly status: number;
  /** Whole body, parsed; null when there is none. */
  readonly body: { data?: Record<string, unknown>; errors?: string[] } | null;
  readonly data: Record<string, unknown>;
  readonly errors: readonly string[];
}

/** The whole body, and the status. */
export function send(
  socketPath: string,
  method: string,
  path: string,
  body: string | Buffer,
): Promise<{ status: number; bytes: Buffer }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, timeout: 60_000 }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.once('end', () => resolve({ status: incoming.statusCode ?? 0, bytes: Buffer.concat(chunks) }));
      incoming.once('error', reject);
    });
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}

/** `path` is below /v1. */
export function transitClient(instance: Instance) {
  return async (method: string, path: string, body?: object): Promise<ApiAnswer> => {
    const text = body === undefined ? '' : JSON.stringify(body);
    const { status, bytes } = await send(instance.api, method, `/v1${path}`, text);
    const parsed = bytes.length === 0 ? null : (JSON.parse(bytes.toString()) as ApiAnswer['body']);
    return { status, body: parsed, data: parsed?.data ?? {}, errors: parsed?.errors ?? [] };
  };
}
