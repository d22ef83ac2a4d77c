/**
 * Where a client secret and the journal of its rotation are stored: both must survive a crash. Every store promises
 * that a write is durable when its promise resolves.
 */
import type { Secret } from '../../core/secret.ts';

export interface SecretStore {
  /** For people: `file /etc/aritma/secret`. */
  readonly name: string;
  /** Opens it exclusively, until `close`. @throws SidecarError ROTATION_LOCKED | ROTATION_STORE_FAILED */
  open(): Promise<OpenStore>;
  /** Reads the journal without opening the store. @throws SidecarError ROTATION_STORE_FAILED */
  peek(): Promise<string | undefined>;
}

/** Every function but `close` throws SidecarError ROTATION_LOCKED when somebody else took the store over, and
 * ROTATION_STORE_FAILED. */
export interface OpenStore {
  /** Reads the current secret; undefined when there is none yet. */
  readSecret(): Promise<Secret | undefined>;
  /** Replaces the secret atomically. */
  writeSecret(value: Secret): Promise<void>;
  /** Reads the text of the last `writeJournal`. It holds a secret while a rotation is under way. */
  readJournal(): Promise<string | undefined>;
  writeJournal(text: string): Promise<void>;
  /** Releases the store. Never throws. */
  close(): Promise<void>;
}
