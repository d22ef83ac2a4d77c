/**
 * The configuration that `config init` writes: from its answers to a document, and from that to YAML with comments. Also
 * judges the answers as the loader would, without reading a secret.
 */
import { Document, isMap, isScalar } from 'yaml';
import { reportIssue, wording } from '../config/issues.ts';
import { type Doc, layer } from '../config/layers.ts';
import { checkRules, validParts } from '../config/rules.ts';
import { ConfigSchema } from '../config/schema.ts';

/** As given by flags or typed; a missing one is not in the document. */
export interface Answers {
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
const PLACE = { credential: ['credentials', 'default'], key: ['callers', 'keys'] } as const;

/** Returns the document that a configuration file with these answers contains. */
export function documentOf(answers: Answers): Doc {
  const { environment, clientId, secret, calls = 'banking, events', headers = [], listen = PORT, admin } = answers;
  const added = headers.length > 0 && { headers: Object.fromEntries(headers.map(headerOf)) };
  return {
    ...(environment !== undefined && { environment }),
    ...(listen !== PORT && { listen: /^\d+$/.test(listen) ? `localhost:${listen}` : listen }),
    ...(admin !== undefined && { admin }),
    credentials: {
      default: { ...(clientId !== undefined && { clientId }), ...(secret && { secrets: [secret] }) },
    },
    routes: calls
      .split(/[\s,]+/)
      .filter((call) => call !== '')
      .map((call) => ({ ...routeOf(call), ...added })),
    ...(answers.callerKeyFile !== undefined && { callers: { keys: { erp: [{ file: answers.callerKeyFile }] } } }),
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

/** Returns what the loader would refuse, with the dotted path of each option. Reads no file, variable or secret. */
export function problemsIn(document: Doc): { readonly path: string; readonly message: string }[] {
  const whole = layer(document, []);
  const problems: { path: string; message: string }[] = [];
  const report = (path: readonly PropertyKey[], message: string) => problems.push({ path: path.join('.'), message });
  for (const issue of ConfigSchema.safeParse(whole, { error: wording }).error?.issues ?? []) reportIssue(issue, report);
  checkRules(validParts(whole), report);
  return problems;
}

/** Returns where the ERP calls each route: its base URL here, and the API behind it. */
export function baseUrls(document: Doc): { readonly path: string; readonly url: string; readonly upstream: string }[] {
  const address = String(document['listen'] ?? `127.0.0.1:${PORT}`);
  const origin = address.startsWith('unix:') ? address : `http://${address.replace(/^localhost:/, '127.0.0.1:')}`;
  const routes = layer(document, [])['routes'] as readonly { readonly path: string; readonly upstream: string }[];
  return routes.map(({ path, upstream }) => ({ path, upstream, url: origin + (path === '/' ? '' : path) }));
}

/** Returns the document as YAML with a comment at each option. @param file where it will be, for the commands in it */
export function yamlOf(document: Doc, file: string): string {
  const whole = new Document(document, { aliasDuplicateObjects: false });
  whole.commentBefore = lines(
    'Configuration of aritma-sidecar, written by `aritma-sidecar config init`. It holds no secret.',
    `Test it:   aritma-sidecar check --config ${file}`,
    `Start it:  aritma-sidecar serve --config ${file}`,
    'A running sidecar notices changes of this file. `aritma-sidecar config schema` prints every option.',
  );
  for (const [path, note] of notesFor(document)) annotate(whole, path, lines(...note));
  return whole.toString({ lineWidth: 0 });
}

type Note = readonly [path: readonly (string | number)[], lines: readonly string[]];

function notesFor(document: Doc): Note[] {
  const urls = baseUrls(document);
  return [
    [['environment'], ['Sets token endpoint, scope and the URLs of Aritma: dev, prod or emulator.']],
    [['listen'], ['Where the ERP calls.']],
    [['admin'], ['Probes, metrics and the status page.']],
    [[PLACE.credential[0]], ['The OAuth client at Aritma, and where its secret comes from.']],
    [[...PLACE.credential, 'secrets'], ['Up to five; the next one is used when Aritma refuses the one before.']],
    [['routes'], ['What the ERP can call. To limit it, add to a route for example:', ALLOW]],
    ...urls.map(({ url, upstream }, index): Note => [['routes', index], [`${url} -> ${upstream}`]]),
    ...urls.map((_url, index): Note => [['routes', index, 'headers'], HEADERS]),
    [['callers'], ['Every call needs the content of this file as header X-Sidecar-Key, or as HTTP Basic password.']],
  ];
}

const ALLOW = '  allow: ["GET /accounts/**", "POST /payments/**"]';
const HEADERS = ['Added to each request where the ERP does not send them itself. Not for secrets: /status shows them.'];

function lines(...text: readonly string[]): string {
  return text.map((line) => ` ${line}`).join('\n');
}

/** Puts a comment before an option or a list entry, if the document has it. */
function annotate(whole: Document, path: Note[0], note: string): void {
  const last = path.at(-1);
  const parent = path.length === 1 ? whole.contents : whole.getIn(path.slice(0, -1), true);
  const node = isMap(parent)
    ? parent.items.find(({ key }) => isScalar(key) && key.value === last)?.key
    : whole.getIn(path, true);
  if (typeof node !== 'object' || node === null) return;
  Object.assign(node, {
    commentBefore: note,
    ...(path.length === 1 && last !== 'environment' && { spaceBefore: true }),
  });
}
