/**
 * Where a client secret lives and where its rotation remembers how far it has come: the two things that must survive a
 * crash. Each kind of store promises that what it has been told to keep is kept when the promise resolves.
 */
import type { Secret } from '../../core/secret.ts';

export interface SecretStore {
  /** For people: `file /etc/aritma/secret`. */
  readonly name: string;
  /** For as long as it is open, nobody else has it. @throws SidecarError ROTATION_LOCKED | ROTATION_STORE_FAILED */
  open(): Promise<OpenStore>;
  /** The journal without holding the store, for those who only look. @throws SidecarError ROTATION_STORE_FAILED */
  peek(): Promise<string | undefined>;
}

/** Every function but `close` throws SidecarError ROTATION_LOCKED when the store has been lost to somebody else, and
 * ROTATION_STORE_FAILED. */
export interface OpenStore {
  /** The secret that is in use; undefined when there is none yet. */
  readSecret(): Promise<Secret | undefined>;
  /** Replaces it, whole, for everybody who reads it. */
  writeSecret(value: Secret): Promise<void>;
  /** What `writeJournal` was given last. It holds a secret while a rotation is under way. */
  readJournal(): Promise<string | undefined>;
  writeJournal(text: string): Promise<void>;
  /** Gives it back. Never throws. */
  close(): Promise<void>;
}
