/** One set-up as an operator sees it: what `check`, the log, a caller's response and the status page report. */
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../src/config/load.ts';
import { SidecarError } from '../../src/core/errors.ts';
import { createLog } from '../../src/core/log.ts';
import { type Sidecar, startSidecar } from '../../src/sidecar/sidecar.ts';
import { run } from './cli.ts';
import { CALLER_KEY, type Patient } from './patient.ts';

export const VIEWS = ['check', 'log', 'response', 'page'] as const;
export type View = (typeof VIEWS)[number];

/** One message. */
export interface Account {
  readonly cause: string | undefined;
  readonly text: string;
}

export interface Expected {
  /** Absent where a view has no codes: the text of a failed start. */
  readonly cause?: string;
  /** What is wrong. */
  readonly says: RegExp;
  /** What to do about it. */
  readonly fix: RegExp;
}

export interface Seen {
  /** Undefined: the sidecar does not start, so there is no response. */
  readonly accounts: Readonly<Record<View, readonly Account[] | undefined>>;
  /** All output, to search for secrets. */
  readonly all: string;
}

/** 2 = cause and fix are in the same message, 1 = only one of them, 0 = neither. */
export function scoreOf(accounts: readonly Account[], { cause, says, fix }: Expected): number {
  const scores = accounts
    .filter((account) => cause === undefined || account.cause === cause)
    .map(({ text }) => Number(says.test(text)) + Number(fix.test(text)));
  return Math.max(0, ...scores);
}

/** Time limit for a message to appear; a view that never shows it costs this. */
const SAID_WITHIN_MS = 2000;

/** @param isSaid whether a view has shown everything it has to show */
export async function look(
  patient: Patient,
  method: string,
  isSaid: (view: View, said: readonly Account[]) => boolean,
): Promise<Seen> {
  const { findings, output } = await patient.check();
  const check = findings.map(({ cause, message, fix }) => ({ cause: text(cause), text: `${message} → ${fix}` }));
  const lines: string[] = [];
  const started = await serve(patient, lines);
  if (typeof started === 'string') {
    const log = [{ cause: undefined, text: started }];
    return { accounts: { check, log, response: undefined, page: undefined }, all: output + started };
  }
  try {
    const raw = await settledCall(started, method, isSaid.bind(undefined, 'response'));
    const { accounts: response } = raw;
    const log = await settled(async () => lines.map(parsed), isSaid.bind(undefined, 'log'));
    const { accounts: page, all } = await settledPage(started, isSaid.bind(undefined, 'page'));
    return { accounts: { check, log, response, page }, all: [output, ...lines, raw.all, all].join('\n') };
  } finally {
    await started.stop();
  }
}

const text = (value: unknown) => (value === undefined ? undefined : String(value));

/** In this process; when it does not start there, the output of the program. */
async function serve(patient: Patient, lines: string[]): Promise<Sidecar | string> {
  const file = patient.write();
  try {
    const loaded = loadConfig({ file, env: patient.env });
    const log = createLog({ level: 'info', format: 'json', write: (line) => void lines.push(line) });
    return await startSidecar({ loaded, log });
  } catch (error) {
    if (!(error instanceof SidecarError)) throw error;
    const { stdout, stderr } = await run(['serve', '--config', file], { env: patient.env, limitMs: 20_000 });
    return stdout + stderr;
  }
}

function parsed(line: string): Account {
  const fields = JSON.parse(line) as Record<string, unknown>;
  return {
    cause: text(fields['cause']),
    text: `${fields['message']} ${fields['reason'] ?? ''} ${fields['problem'] ?? ''} → ${fields['fix']}`,
  };
}

/** A full disk shows at the first line that is written, which may be after the first call. */
async function settledCall(sidecar: Sidecar, method: string, isSaid: (said: readonly Account[]) => boolean) {
  let all = '';
  const accounts = await settled(async () => {
    const called = await call(sidecar, method);
    all += called.all;
    return [{ cause: text(called.body['cause']), text: String(called.body['detail']) }];
  }, isSaid);
  return { accounts, all };
}

async function call({ proxy: [bound] }: Sidecar, method: string) {
  const headers = { 'X-Sidecar-Key': CALLER_KEY };
  const response = await fetch(`${bound?.text}/banking/accounts`, { method, headers, redirect: 'manual' });
  const all = await response.text();
  // The API's own response goes to the caller unchanged.
  if (!response.headers.has('x-sidecar-error')) return { all: '', body: {} };
  return { all, body: JSON.parse(all) as Record<string, unknown> };
}

/** The page has words without codes, `/status` has the codes: both are combined. */
async function settledPage({ admin: [bound] }: Sidecar, isSaid: (said: readonly Account[]) => boolean) {
  let all = '';
  const accounts = await settled(async () => {
    const page = await (await fetch(`${bound?.text}/`)).text();
    const status = await (await fetch(`${bound?.text}/status`)).text();
    all = page + status;
    const { routes = [] } = JSON.parse(status) as { routes?: { verdict?: { cause?: string } }[] };
    return [{ cause: routes[0]?.verdict?.cause, text: visible(page) }];
  }, isSaid);
  return { accounts, all };
}

function visible(page: string): string {
  const entities: Readonly<Record<string, string>> = { quot: '"', amp: '&', lt: '<', gt: '>', '#39': "'" };
  return page
    .replace(/<(script|style)[\s\S]*?<\/\1>/g, '')
    .replace(/<[^>]*>/g, '')
    .replace(/&(quot|amp|lt|gt|#39);/g, (_, name: string) => entities[name] ?? '')
    .replace(/\s+/g, ' ');
}

async function settled(
  read: () => Promise<readonly Account[]>,
  isSaid: (said: readonly Account[]) => boolean,
): Promise<readonly Account[]> {
  for (const deadline = performance.now() + SAID_WITHIN_MS; ; await sleep(20)) {
    const said = await read();
    if (isSaid(said) || performance.now() > deadline) return said;
  }
}
