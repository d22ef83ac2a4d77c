/**
 * What a support file needs of a loaded configuration: the effective document without values that may be secret, where each
 * part comes from, and every secret that must not be in the file.
 */
import { stringify } from 'yaml';
import type { Secret } from '../core/secret.ts';
import { effectiveDocument } from './describe.ts';
import type { Doc } from './layers.ts';
import type { LoadedConfig } from './load.ts';

/** Returns the document as YAML, with its sources and warnings above. Secrets appear as their sources. */
export function configurationText({ document, file, inputs, warnings }: LoadedConfig): string {
  const lines = [
    `file: ${file ?? 'none'}`,
    ...inputs.map(({ path, source }) => `${path}: set by ${source}`),
    ...(warnings.length === 0 ? ['no warnings'] : warnings.map((warning) => `warning: ${warning}`)),
  ];
  return `${lines.map((line) => `# ${line}`).join('\n')}\n${stringify(withoutValues(effectiveDocument(document)))}`;
}

export type LoadedSecrets = Pick<LoadedConfig, 'secrets' | 'callerKeys' | 'fleetSecrets' | 'proxy'>;

/** Every value that the configuration names: client secrets, keys of callers, fleet keys and passwords, URLs of proxies. */
export function secretsIn({ secrets, callerKeys, fleetSecrets, proxy }: LoadedSecrets): Secret[] {
  const { keys = [], password } = fleetSecrets ?? {};
  const own = [...secrets.values()].flat().map(({ value }) => value);
  const others = [password, proxy?.https, proxy?.http].filter((secret) => secret !== undefined);
  return [...own, ...[...callerKeys.values()].flat(), ...keys, ...others];
}

/** Who started this process, as far as its environment says. */
export function startedBy({ supervisor, cluster }: LoadedConfig): string {
  if (cluster) return 'Kubernetes';
  return supervisor ? 'systemd' : 'a terminal, a service manager without sd_notify, or another program';
}

/** Options with free text, where people put what does not belong there. */
const FREE = /^(?:parameters|headers)$/;

/** Replaces the values of free options; their names stay. */
function withoutValues(value: unknown, isFree = false): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutValues(item, isFree));
  if (typeof value !== 'object' || value === null) return isFree && value !== null ? '[value]' : value;
  const entries = Object.entries(value as Doc);
  return Object.fromEntries(entries.map(([name, item]) => [name, withoutValues(item, isFree || FREE.test(name))]));
}
