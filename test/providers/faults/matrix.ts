/**
 * Faults of a key service, and how each kind of provider responds. faults.test.ts runs a test for every cell; docs/providers.md shows the
 * same table (test/project/fault-table.test.ts compares them). `node test/providers/faults/matrix.ts` prints it.
 */

export const KINDS = ['vault', 'aws-kms', 'gcp-kms', 'azure-key-vault', 'kmip', 'pkcs11-hsm'] as const;
export type Kind = (typeof KINDS)[number];

/** `goes on`: the call succeeds nevertheless. */
export type End = 'unreachable' | 'refused' | 'goes on';

/** How the call ends during the fault, or why the fault cannot occur. `test`: a test in another file with a real server (path below test/, name). */
export type Cell =
  { readonly ends: End; readonly test?: readonly [string, string] } | { readonly never: Reason };

export interface FaultRow {
  readonly fault: string;
  /** The call must end within the provider's deadline, which is short here. */
  readonly isWaitedFor?: true;
  /** The call must not end before the deadline. */
  readonly atLeastMs?: number;
  readonly cells: Readonly<Record<Kind, Cell>>;
}

/** Why a fault cannot occur. */
export const REASONS = {
  library: 'a library is called, not connected to: no network, no name, no certificate',
  call: 'a call returns everything or nothing; for the frames of our own child process see test/providers/hsm-frame.test.ts',
  busy: 'Cryptoki has no code for it; CKR_DEVICE_ERROR is the row of 503',
  retry: 'the protocol has no field for it',
  checksum: 'the protocol has no checksums, but TLS has, and the wrapped key is authenticated',
  deletion: 'keys are destroyed immediately: a disabled key is the row above',
  clock: 'requests contain no time',
} as const;
export type Reason = keyof typeof REASONS;

const every = (cell: Cell): Record<Kind, Cell> =>
  Object.fromEntries(KINDS.map((kind) => [kind, cell])) as Record<Kind, Cell>;
const never = (reason: Reason): Cell => ({ never: reason });
const UNREACHABLE = every({ ends: 'unreachable' });
const REFUSED = every({ ends: 'refused' });
const GOES_ON = every({ ends: 'goes on' });
const ofNetwork = { 'pkcs11-hsm': never('library') };
const ofAnswers = { 'pkcs11-hsm': never('call') };

export const FAULTS = [
  { fault: 'refuses connections', isWaitedFor: true, cells: UNREACHABLE },
  { fault: 'is silent', isWaitedFor: true, cells: UNREACHABLE },
  { fault: 'hangs after the head of its answer', isWaitedFor: true, cells: { ...UNREACHABLE, ...ofAnswers } },
  { fault: 'resets the connection', isWaitedFor: true, cells: UNREACHABLE },
  { fault: 'resets it amid the answer', isWaitedFor: true, cells: { ...UNREACHABLE, ...ofAnswers } },
  {
    fault: 'gives half an answer as a whole one',
    isWaitedFor: true,
    cells: { ...UNREACHABLE, ...ofAnswers },
  },
  {
    fault: 'asks for fewer requests (429)',
    isWaitedFor: true,
    cells: { ...UNREACHABLE, 'pkcs11-hsm': never('busy') },
  },
  {
    fault: 'asks for a second of rest (429)',
    atLeastMs: 990,
    cells: { ...GOES_ON, kmip: never('retry'), 'pkcs11-hsm': never('retry') },
  },
  { fault: 'is in trouble (503)', isWaitedFor: true, cells: UNREACHABLE },
  {
    fault: 'is back in a second (503)',
    atLeastMs: 990,
    cells: { ...GOES_ON, kmip: never('retry'), 'pkcs11-hsm': never('retry') },
  },
  {
    fault: 'answers with a wrong CRC',
    isWaitedFor: true,
    cells: { ...every(never('checksum')), 'gcp-kms': { ends: 'unreachable' } },
  },
  { fault: 'shows a certificate past its end', cells: { ...UNREACHABLE, ...ofNetwork } },
  { fault: 'shows a certificate of another authority', cells: { ...UNREACHABLE, ...ofNetwork } },
  {
    fault: 'takes the credentials for expired',
    // Node's TLS server closes the connection without sending an alert.
    cells: {
      ...REFUSED,
      kmip: {
        ends: 'refused',
        test: [
          'providers/kmip/pykmip.test.ts',
          'a client certificate past its end is refused and said to be so, and its renewal taken up',
        ],
      },
    },
  },
  { fault: 'has the key disabled', cells: REFUSED },
  {
    fault: 'has the key pending deletion',
    cells: { ...REFUSED, kmip: never('deletion'), 'pkcs11-hsm': never('deletion') },
  },
  {
    fault: 'has another time',
    cells: {
      ...every(never('clock')),
      'aws-kms': { ends: 'goes on' },
      'gcp-kms': { ends: 'unreachable' },
      'azure-key-vault': { ends: 'unreachable' },
    },
  },
  { fault: 'has a name that does not resolve', isWaitedFor: true, cells: { ...UNREACHABLE, ...ofNetwork } },
  { fault: 'takes two seconds for every answer', atLeastMs: 1990, cells: GOES_ON },
] as const satisfies readonly FaultRow[];

export type FaultName = (typeof FAULTS)[number]['fault'];

function show(cell: Cell): string {
  return 'never' in cell ? `(${Object.keys(REASONS).indexOf(cell.never) + 1})` : cell.ends;
}

/** The table as Markdown, with the reasons below it. */
export function printMatrix(): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rows = FAULTS.map(({ fault, cells }) =>
    line([fault, ...KINDS.map((kind) => show((cells as Record<Kind, Cell>)[kind]))]),
  );
  const reasons = Object.values(REASONS).map((reason, at) => `- (${at + 1}) ${reason}.`);
  const head = [line(['the service', ...KINDS]), line(['---', ...KINDS.map(() => '---')])];
  return [...head, ...rows, '', ...reasons].join('\n');
}

if (import.meta.main) console.log(printMatrix());
