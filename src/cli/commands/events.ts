import { connect } from 'node:net';
import type { SidekeyEvent } from '../../events/event-ring.ts';
import { SidekeyError } from '../../errors.ts';
import { askAgent } from '../agent-client.ts';
import { API_OPTION, apiSocket, JSON_OPTION, textOption, type Command } from '../command.ts';
import { printable } from '../table.ts';

const EVENTS = '/v1/sidekey/events';
const HANDSHAKE_MS = 10_000;
const MESSAGE_MAX_BYTES = 64 * 1024;

/** The first message of the stream if events were lost. */
interface Gap {
  readonly type: 'gap';
}

function format(event: SidekeyEvent | Gap): string {
  if (!('fields' in event)) return '(events in between are lost)';
  const fields = Object.entries(event.fields).map(([name, value]) => `${name}=${value}`);
  return printable([event.time, event.type, ...fields].join(' '));
}

/** Resolves when this process should end; rejects when the agent hangs up, with the event to resume from. */
async function follow(
  socketPath: string,
  after: string | undefined,
  take: (event: SidekeyEvent | Gap) => void,
): Promise<void> {
  // Loaded here, so that other commands need not load it.
  const { WebSocket } = await import('ws');
  let last = after;
  const query = after === undefined ? '' : `?after=${encodeURIComponent(after)}`;
  const stream = new WebSocket(`ws://localhost${EVENTS}${query}`, {
    createConnection: () => connect(socketPath),
    handshakeTimeout: HANDSHAKE_MS,
    maxPayload: MESSAGE_MAX_BYTES,
    perMessageDeflate: false,
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const end = (): void => resolve();
  process.once('SIGINT', end).once('SIGTERM', end);
  stream.on('message', (data) => {
    const event = JSON.parse(String(data)) as SidekeyEvent | Gap;
    if ('id' in event) last = event.id;
    take(event);
  });
  stream.once('error', ({ message }) =>
    reject(new SidekeyError('not_running', `no events from ${socketPath}: ${message}`)),
  );
  stream.once('close', (code) => {
    const resume = last === undefined ? '' : `; go on with --after ${last}`;
    reject(new SidekeyError('not_running', `the agent ended the stream (${code})${resume}`));
  });
  try {
    await promise;
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end);
    stream.terminate();
  }
}

export const eventsCommand: Command = {
  name: 'events',
  summary: 'show events as they happen',
  help: 'Shows leases, provider outages, logins, denials, and keys created, rotated or destroyed, until Ctrl-C. --json prints one JSON\nline per event; pass its id to --after to resume. If events were lost in between, the output says so.',
  options: {
    past: { type: 'boolean', help: 'show past events that the agent still has, then exit' },
    after: { type: 'string', value: 'ID', help: 'start with the events after this one' },
    ...JSON_OPTION,
    ...API_OPTION,
  },
  positionals: [],
  examples: ['sidekey events', 'sidekey events --past --json'],
  async run(invocation) {
    const { values, say } = invocation;
    const after = textOption(values, 'after');
    const take = (event: SidekeyEvent | Gap): void =>
      say(values['json'] ? JSON.stringify(event) : format(event));
    if (!values['past']) {
      await follow(apiSocket(invocation), after, take);
      return 0;
    }
    const query = after === undefined ? '' : `?after=${encodeURIComponent(after)}`;
    const { gap, events } = await askAgent<{ gap: boolean; events: SidekeyEvent[] }>(
      apiSocket(invocation),
      EVENTS + query,
    );
    for (const event of [...(gap ? [{ type: 'gap' } as const] : []), ...events]) take(event);
    return 0;
  },
};
