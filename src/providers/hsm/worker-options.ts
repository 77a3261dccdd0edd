/** What the agent tells the process of the vendor's library in its first frame, as JSON (the PIN is a field of its own). */
export interface WorkerOptions {
  readonly module: string;
  /** What NSS's library takes at C_Initialize by CK_C_INITIALIZE_ARGS, in a field of its own before pReserved; null: none. */
  readonly libraryParameters: string | null;
  readonly token: {
    readonly label: string | null;
    readonly serial: string | null;
    readonly slot: number | null;
  };
  readonly key: { readonly label: string | null; readonly id: string | null };
  /** A name of mechanism.ts, or null: the first that module and key offer. */
  readonly mechanism: string | null;
  readonly sessions: number;
}

/** How messages name the key. */
export function describeKey({ label, id }: WorkerOptions['key']): string {
  const parts = [label !== null && `label "${label}"`, id !== null && `id ${id}`];
  return `key ${parts.filter(Boolean).join(', ')}`;
}
