/**
 * What the agent asks the process of the vendor's library about resident keys: JSON in the first field of a frame, the data in the second. Nothing
 * in the JSON is secret.
 */

/** How a key is found again: a module may have several of one label, of one id, but not of both. */
export interface KeyReference {
  /** CKO_PRIVATE_KEY or CKO_SECRET_KEY. */
  readonly objectClass: number;
  readonly label: string;
  /** CKA_ID, hexadecimal. */
  readonly id: string;
}

/** Buffers are hexadecimal. */
export interface WorkerMechanism {
  readonly type: number;
  readonly pss?: { readonly hash: number; readonly mgf: number; readonly saltBytes: number };
  readonly oaep?: { readonly hash: number; readonly mgf: number; readonly label: string };
  readonly gcm?: { readonly iv: string; readonly aad: string; readonly tagBits: number };
  readonly iv?: string;
}

export interface NewHsmKey {
  readonly label: string;
  readonly id: string;
  readonly mechanism: number;
  readonly isPair: boolean;
  readonly modulusBits?: number;
  readonly curve?: string;
  readonly keyType: number;
  readonly valueBytes?: number;
  readonly signs: boolean;
  readonly decrypts: boolean;
  readonly agrees: boolean;
}

export type ResidentRequest =
  | { readonly what: 'random'; readonly bytes: number }
  | { readonly what: 'list'; readonly prefix: string; readonly max: number }
  | { readonly what: 'public'; readonly key: KeyReference }
  | { readonly what: 'create'; readonly key: NewHsmKey }
  | { readonly what: 'destroy'; readonly key: KeyReference }
  | { readonly what: 'agree'; readonly key: KeyReference; readonly point: string; readonly bytes: number }
  | {
      readonly what: 'sign' | 'encrypt' | 'decrypt';
      readonly key: KeyReference;
      readonly mechanism: WorkerMechanism;
    };

/** One key as the module describes it. */
export interface HsmKeyRow extends KeyReference {
  readonly keyType: number;
  readonly sizeBits: number;
  /** CKA_EC_PARAMS, hexadecimal; empty where there are none. */
  readonly curve: string;
  readonly signs: boolean;
  readonly encrypts: boolean;
  readonly decrypts: boolean;
  readonly agrees: boolean;
}

export interface HsmKeyList {
  readonly keys: readonly HsmKeyRow[];
  /** What the token offers. */
  readonly mechanisms: readonly number[];
  /** CKM_ of the hashes that the module takes for RSA-OAEP. */
  readonly oaepHashes: readonly number[];
}

/** Hexadecimal; of RSA modulus and exponent, else the curve's identifier and the point's DER. */
export type HsmPublicKey =
  | { readonly modulus: string; readonly exponent: string }
  | { readonly curve: string; readonly point: string };
