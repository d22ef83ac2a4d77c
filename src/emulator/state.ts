// Opens and closes an emulator's whole state: store, tokens, and the file that keeps both for the next run.

import { SAMPLES, type SettingsChange } from './iam-settings.ts';
import { loadState, openStateWriter, StateFileError, type StateWriter } from './state-file.ts';
import { ADMIN_CLIENT, createStore, DEMO_CLIENT, type EmulatorClient, type Store } from './store.ts';
import { createTokens, type KeptSigning, type Tokens, type TokensOptions } from './tokens.ts';

export interface MemoryOptions {
  /** Epoch ms. */
  now?: () => number;
  clients?: readonly EmulatorClient[];
  iam?: SettingsChange;
  stateFile?: string;
  signing?: KeptSigning;
}

export interface Memory {
  readonly store: Store;
  readonly tokens: Tokens;
  /** Resolves when the state file is written. @throws StateFileError */
  close(): Promise<void>;
}

/** Opens the memory, from the state file if it exists. @throws StateFileError */
export async function openMemory(options: MemoryOptions): Promise<Memory> {
  const { now = Date.now, iam, stateFile, signing } = options;
  const { clients = [DEMO_CLIENT, ADMIN_CLIENT, ...(iam?.lenient ? SAMPLES.clients : [])] } = options;
  let writer: StateWriter | undefined;
  const onChange = () => writer?.changed();

  const saved = stateFile === undefined ? undefined : await loadState(stateFile);
  const tokens = await openTokens({ now, kept: saved?.signing ?? signing, onChange }, stateFile);
  const store = createStore(saved ?? clients, { now, settings: iam, onChange });
  if (stateFile !== undefined) {
    writer = await openStateWriter(stateFile, () => ({ signing: tokens.kept(), ...store.contents() }));
  }
  return { store, tokens, close: async () => writer?.close() };
}

async function openTokens(options: TokensOptions, stateFile = ''): Promise<Tokens> {
  if (!options.kept) return createTokens(options);
  return createTokens(options).catch((cause: unknown) => {
    throw new StateFileError(`${stateFile} holds no usable signing key; it was not changed`, { cause });
  });
}
