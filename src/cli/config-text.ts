/** The YAML that `config init` writes, with a comment at each option, and the base URLs for the ERP. */
import { Document, isMap, isScalar } from 'yaml';
import { type Doc, layer } from '../config/layers.ts';
import { type Choices, PORT } from './config-document.ts';

const CREDENTIAL = ['credentials', 'default'] as const;

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
    [[CREDENTIAL[0]], ['The OAuth client at Aritma, and where its secret comes from.']],
    [[...CREDENTIAL, 'secrets'], ['Up to five; the next one is used when Aritma refuses the one before.']],
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

/** Returns the commands that put the secret where the configuration reads it. @param file the configuration */
export function howToGoOn({ secret = {} }: Choices, file: string): string {
  const then = `Then: aritma-sidecar check --config ${file}`;
  if (secret.env !== undefined) return `${secret.env} is not set here. Set it where the sidecar runs. ${then}`;
  const name = secret.file ?? '';
  const inShell = `'${name.replaceAll("'", "'\\''")}'`;
  const inPowerShell = `'${name.replaceAll("'", "''")}'`;
  return [
    `There is no usable secret in ${name} yet. Create the file:`,
    `  Linux, macOS  (umask 077; cat > ${inShell})   # paste the secret, then Enter and Ctrl-D`,
    `  PowerShell    Read-Host 'Client secret' | Set-Content -NoNewline -Encoding ascii ${inPowerShell}`,
    then,
  ].join('\n');
}
