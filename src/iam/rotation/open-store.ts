/**
 * Creates the secret store that the options of a rotation describe.
 */
import type { Problem } from '../../config/problems.ts';
import { SidecarError } from '../../core/errors.ts';
import type { Secret } from '../../core/secret.ts';
import { execStore } from './exec-store.ts';
import { createFileStore, createJournaledStore } from './file-store.ts';
import { createKubernetesStore, type KubernetesStoreOptions } from './kubernetes-store.ts';
import type { SecretStore } from './store.ts';

export interface StoreOptions {
  readonly rotation: {
    readonly journal?: string | undefined;
    readonly exec?: readonly string[] | undefined;
    readonly kubernetes?: Pick<KubernetesStoreOptions, 'secret' | 'key' | 'namespace'> | undefined;
  };
  /** The file of the credential's first secret. */
  readonly file: string | undefined;
  /** The value of that secret. */
  readonly inUse: Secret | undefined;
  readonly clientId: string;
  /** Resolves a configured file name to its path. */
  readonly resolve: (file: string) => string;
  /** The cluster this runs in, if any. */
  readonly cluster: Pick<KubernetesStoreOptions, 'apiServer' | 'pod'> | undefined;
  readonly clock: KubernetesStoreOptions['clock'];
  /** Where the `rotation` options are, for a configuration problem. */
  readonly source: Pick<Problem, 'where' | 'path'>;
}

/** Vaults respond within seconds; a program that takes longer hangs. */
const EXEC_TIMEOUT_MS = 60_000;

/**
 * Creates the store; opens nothing yet.
 * @throws SidecarError CONFIG_INVALID when the secret is in no store that can be written
 */
export function openSecretStore({ rotation, file, inUse, clientId, resolve, ...rest }: StoreOptions): SecretStore {
  const { kubernetes, exec, journal } = rotation;
  if (kubernetes) {
    const { cluster, clock } = rest;
    if (!cluster)
      throw unusable(rest, 'has kubernetes, but this is no Kubernetes pod: KUBERNETES_SERVICE_HOST is not set');
    return createKubernetesStore({ ...kubernetes, ...cluster, clock });
  }
  if (exec && journal) {
    return createJournaledStore({
      name: `program ${exec[0]}`,
      isOwn: false,
      journal: resolve(journal),
      written: [],
      // The program stores the secret where we cannot read it; we know only the configured one.
      read: async () => inUse,
      write: (value) => execStore({ command: exec, clientId, timeoutMs: EXEC_TIMEOUT_MS }, value),
    });
  }
  if (file !== undefined) return createFileStore(resolve(file), journal && resolve(journal));
  throw unusable(
    rest,
    'needs a file as the first of secrets, or kubernetes, or exec: neither a variable nor the output of a program can be changed',
  );
}

function unusable({ source }: Pick<StoreOptions, 'source'>, message: string): SidecarError {
  return new SidecarError('CONFIG_INVALID', { problems: [{ ...source, message }] });
}
