/**
 * Where a client secret and the journal of its rotation are stored: both must survive a crash. Every store promises
 * that a write is durable when its promise resolves.
 */
import type { Secret } from '../../core/secret.ts';

export interface SecretStore {
  /** For people: `file /etc/aritma/secret`. */
  readonly name: string;
  /** Whether every sidecar has one of its own, as with a file; else all share one. */
  readonly isOwn: boolean;
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
  /** Where several sidecars use the secret: throws ROTATION_STORE_FAILED while they do not all have the same. */
  mayBegin?(inUse: Secret | undefined): Promise<void>;
  /** Epoch ms by the one clock of all that rotate the secret. Absent: this machine's. */
  now?(): Promise<number>;
  /** Names those that use the secret and do not have this value yet. */
  lacking?(value: Secret): Promise<readonly string[]>;
  /** Releases the store. Never throws. */
  close(): Promise<void>;
}

/** How sidecars with the same client secret rotate it together. */
export interface SecretSharing {
  /** Returns the store that all of them have in common; `local` is this one's. */
  share(credential: string, local: SecretStore): SecretStore;
  /** Whether another has begun a rotation and does not go on with it. */
  isLeft(credential: string): boolean;
}
