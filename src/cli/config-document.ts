/** What `config init` was told, as a document of the configuration. */
import type { Doc } from '../config/layers.ts';

/** As given by flags or typed; a missing one is not in the document. */
export interface Choices {
  readonly environment?: string;
  readonly clientId?: string;
  /** The one source of the secret, as an entry of `secrets`. */
  readonly secret?: { readonly file?: string; readonly env?: string; readonly exec?: readonly string[] };
  /** `banking, /reports=https://reports.example`. */
  readonly calls?: string;
  /** `Subscription-Id=1`, for every route. */
  readonly headers?: readonly string[];
  /** An address, or only a port. */
  readonly listen?: string;
  readonly admin?: string;
  /** A file with a key that every caller has to send. */
  readonly callerKeyFile?: string;
}

/** The port of the default of `listen`. */
export const PORT = '7080';

/** Returns the document that a configuration file with these choices contains. */
export function documentOf(choices: Choices): Doc {
  const { environment, clientId, secret, calls, headers = [], listen = PORT, admin } = choices;
  const added = headers.length > 0 && { headers: Object.fromEntries(headers.map(headerOf)) };
  return {
    ...(environment !== undefined && { environment }),
    ...(listen !== PORT && { listen: /^\d+$/.test(listen) ? `localhost:${listen}` : listen }),
    ...(admin !== undefined && { admin }),
    credentials: {
      default: { ...(clientId !== undefined && { clientId }), ...(secret && { secrets: [secret] }) },
    },
    routes: namesIn(calls).map((call) => ({ ...routeOf(call), ...added })),
    ...(choices.callerKeyFile !== undefined && { callers: { keys: { erp: [{ file: choices.callerKeyFile }] } } }),
  };
}

function headerOf(text: string): readonly [name: string, value: string] {
  const [, name = '', value = ''] = /^([^=:]*)[=:]?(.*)$/s.exec(text) ?? [];
  return [name.trim(), value.trim()];
}

function routeOf(call: string): Doc {
  const [name = '', upstream] = call.split(/=(.*)/s);
  const path = name.startsWith('/') ? name : `/${name}`;
  return upstream === undefined ? { path } : { path, upstream };
}

/** Returns the entries of a list such as `banking, /reports=https://reports.example`. */
export function namesIn(calls = 'banking, events'): string[] {
  return calls.split(/[\s,]+/).filter((call) => call !== '');
}
