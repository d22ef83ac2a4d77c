/**
 * The one next step: of many findings, the fix for the most basic one, because the others may only follow from it; where
 * nothing is wrong, how to start to use the sidecar.
 */
import type { LoadedConfig } from '../config/load.ts';
import { formatAddress } from '../net/listen.ts';
import { exitCode, type Finding } from './finding.ts';

export interface NextStep {
  /** One sentence without its full stop. */
  readonly next: string;
  /** The option to change; absent when nothing is wrong or no single option is. */
  readonly option?: string;
}

/**
 * Returns what to do next.
 * @param loaded the configuration; undefined when it is not valid
 */
export function nextStep(findings: readonly Finding[], loaded: LoadedConfig | undefined): NextStep {
  const code = exitCode(findings);
  const first = findings.find((finding) => finding.level === 'error' && exitCode([finding]) === code);
  if (first) {
    const option = optionOf(first);
    const what = `${first.subject}: ${first.fix ?? first.message}`;
    return option === undefined ? { next: what } : { next: `${what} [${option}]`, option };
  }
  return { next: loaded ? useIt(findings, loaded) : 'write a configuration' };
}

/** What the subject of a finding belongs to in the configuration file. */
const OPTIONS: readonly (readonly [subject: RegExp, option: string])[] = [
  [/^configuration /, ''],
  [/^(listen|admin) /, '$1'],
  [/^network credential (\S+)/, 'credentials.$1'],
  [/^(?:token|key of credential) (\S+)/, 'credentials.$1'],
  [/^secret (\S+)/, 'credentials.$1.secrets'],
  [/^network route ([^ ,]+)/, 'routes[$1].upstream'],
  [/^upstream (\S+)/, 'routes[$1]'],
  [/^key of route (\S+)/, 'routes[$1].tls'],
  [/^caller key (\S+)/, 'callers.keys.$1'],
  [/^audit /, 'audit.file'],
  [/^(?:fleet|password of the fleet|TLS key of the fleet)/, 'fleet'],
];

function optionOf({ subject, message, cause = '' }: Finding): string | undefined {
  // A problem of the configuration begins with its path.
  if (cause === 'configuration_invalid') return /^[a-z]\w*(?:\.[\w<>/-]+)*(?= )/i.exec(message)?.[0];
  const [pattern, option] = OPTIONS.find(([known]) => known.test(subject)) ?? [];
  return pattern && (pattern.exec(subject)?.[0].replace(pattern, option ?? '') || undefined);
}

function useIt(findings: readonly Finding[], { config, callerKeys }: LoadedConfig): string {
  const isFree = findings.some(({ subject, message }) => subject.startsWith('listen ') && message.startsWith('free'));
  const [address] = config.listen;
  const scheme = config.callers.tls ? 'https' : 'http';
  const place = address === undefined ? '' : formatAddress(address);
  const base = address?.kind === 'tcp' ? `${scheme}://${place}` : place;
  const urls = config.routes.map(({ path }) => `${base}${path}`).slice(0, 3);
  const key = callerKeys.size > 0 ? ', and let it send its key in X-Sidecar-Key' : '';
  const more = config.routes.length > urls.length ? ' and the other routes' : '';
  return `${isFree ? 'start it with `aritma-sidecar serve`, then ' : ''}set the base URL of the API in the ERP to ${urls.join(' or ')}${more}${key}`;
}
