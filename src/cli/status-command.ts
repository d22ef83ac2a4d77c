/**
 * `status`: shows whether calls work on each route of a running sidecar, as text or as JSON.
 */
import { styleText } from 'node:util';
import { z } from 'zod';
import type { Address } from '../config/parsers.ts';
import { ERRORS } from '../core/errors.ts';
import { createReport, type Output, visible } from '../core/terminal.ts';
import { formatAddress } from '../net/listen.ts';
import { requestText } from './control.ts';

const NOT_SERVING = 10;

const State = z.enum(['works', 'warning', 'fails']);

/** The parts of `/status` shown here. Other versions of the sidecar may send more. */
const Status = z.object({
  now: z.string(),
  verdict: z.object({ state: State, failing: z.number() }),
  routes: z.array(
    z.object({
      path: z.string(),
      verdict: z.object({
        state: State,
        from: z.string().optional(),
        code: z.string().optional(),
        cause: z.string().optional(),
        message: z.string(),
        fix: z.string().optional(),
        since: z.string().optional(),
      }),
    }),
  ),
  credentials: z.array(
    z.object({
      name: z.string(),
      tokens: z.array(
        z.object({
          scope: z.string().optional(),
          state: z.string(),
          expiresAt: z.string().optional(),
          source: z.string().optional(),
        }),
      ),
    }),
  ),
  audit: z.object({ file: z.string(), failing: z.string().optional(), whenFailing: z.string() }).optional(),
  fleet: z
    .object({
      store: z.string(),
      up: z.boolean(),
      problem: z.string().optional(),
      since: z.string().optional(),
      members: z.number().optional(),
      keyId: z.string(),
    })
    .optional(),
  unsafe: z.array(z.string()),
  listening: z.boolean(),
  draining: z.boolean(),
  version: z.string(),
  uptimeS: z.number(),
});

type Status = z.infer<typeof Status>;

/**
 * Prints the status of the sidecar at `admin`.
 * @returns the exit code: 0 while calls work on every route, 10 when no sidecar is serving, else the code of the most
 * fundamental failure
 */
export async function showStatus(
  admin: Address,
  output: Output & NodeJS.WritableStream,
  forceJson: boolean,
): Promise<number> {
  const report = createReport(output, forceJson);
  const found = read(await requestText(admin, '/status'), formatAddress(admin));
  if ('fix' in found) {
    const { message, fix } = found;
    if (report.json) report.line({ text: '', data: { reachable: false, message, fix } });
    else process.stderr.write(`${visible(message)}\n  → ${visible(fix)}\n`);
    return NOT_SERVING;
  }
  // `visible` is applied piece by piece, because colours are control characters.
  if (report.json) report.line({ text: '', data: found });
  else output.write(`${linesOf(found, output).join('\n')}\n`);
  return exitCode(found);
}

interface Unreachable {
  readonly message: string;
  readonly fix: string;
}

function read(response: Awaited<ReturnType<typeof requestText>>, at: string): Status | Unreachable {
  if (response === undefined)
    return {
      message: `no sidecar responds at the admin address ${at}`,
      fix: 'start the sidecar, or set its admin address with --admin, ARITMA_ADMIN or --config',
    };
  const { success, data } = Status.safeParse(parsed(response.text));
  if (success) return data;
  return {
    message: `the response from ${at} (HTTP ${response.status}) is not the status of a sidecar`,
    fix: 'another program listens there, or an older sidecar: correct --admin, ARITMA_ADMIN or --config, or update the sidecar',
  };
}

function parsed(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
}

/** Configuration before credentials before token endpoint before API, as for `check`. */
function exitCode({ routes, listening, draining }: Status): number {
  if (!listening || draining) return NOT_SERVING;
  const failing = routes.filter(({ verdict }) => verdict.state === 'fails');
  return failing.length === 0 ? 0 : Math.min(...failing.map(({ verdict }) => exitOf(verdict.code)));
}

/** An error response of the API has no error code of the sidecar. */
function exitOf(code: string | undefined): number {
  if (code === undefined) return ERRORS.UPSTREAM_UNREACHABLE.exit;
  const row = Object.hasOwn(ERRORS, code) ? ERRORS[code as keyof typeof ERRORS] : ERRORS.SIDECAR_INTERNAL;
  return row.exit;
}

const WORDS = { works: 'works', warning: 'works, with a warning', fails: 'fails' } as const;
const COLOURS = { works: 'green', warning: 'yellow', fails: 'red' } as const;

function linesOf(status: Status, stream: NodeJS.WritableStream): string[] {
  const { routes, credentials, audit, fleet, unsafe, version, uptimeS, verdict } = status;
  const paint = (state: keyof typeof COLOURS, text: string) => styleText(COLOURS[state], text, { stream });
  const width = Math.max(0, ...routes.map(({ path }) => visible(path).length));
  return [
    paint(verdict.state, headline(status)),
    ...routes.flatMap(({ path, verdict: { state, message, since, fix } }) => {
      const when = since === undefined || state === 'works' ? '' : ` (since ${clockTime(since, status.now)})`;
      const line = `${visible(path).padEnd(width)}  ${paint(state, WORDS[state])}: ${visible(message)}${when}`;
      return fix === undefined ? [line] : [line, `  → ${visible(fix)}`];
    }),
    ...credentials.flatMap(({ name, tokens }) => tokens.map((token) => tokenLine(name, token, status.now))),
    ...(audit ? [`audit log ${visible(audit.file)}: ${auditState(audit)}`] : []),
    ...(fleet ? [fleet.problem ? paint('warning', fleetLine(fleet, status.now)) : fleetLine(fleet, status.now)] : []),
    ...(unsafe.length > 0 ? [paint('warning', `protection switched off: ${visible(unsafe.join(', '))}`)] : []),
    `version ${visible(version)}, running for ${roughly(uptimeS)}`,
  ];
}

function headline({ verdict: { state, failing }, routes, listening, draining }: Status): string {
  if (draining) return 'Calls fail: the sidecar is stopping.';
  if (!listening) return 'Calls fail: the sidecar is starting.';
  if (state === 'fails')
    return failing === routes.length ? 'Calls fail.' : `Calls fail on ${failing} of ${routes.length} routes.`;
  return state === 'works' ? 'Calls work.' : 'Calls work, with a warning.';
}

function tokenLine(
  name: string,
  { scope, state, expiresAt, source }: Status['credentials'][number]['tokens'][number],
  now: string,
): string {
  const isValid = (state === 'fresh' || state === 'early') && expiresAt !== undefined;
  const what = isValid ? `valid until ${clockTime(expiresAt, now)}` : state === 'expired' ? 'expired' : 'none';
  const from = isValid && source === 'shared' ? ', fetched by another member of the fleet' : '';
  return `token of ${visible(name)}${scope === undefined ? '' : ` (${visible(scope)})`}: ${what}${from}`;
}

function fleetLine({ store, up, problem, since, members, keyId }: NonNullable<Status['fleet']>, now: string): string {
  const when = since === undefined ? '' : ` (since ${clockTime(since, now)})`;
  const state = problem
    ? `not used${when}: ${visible(problem)}`
    : up
      ? `in use, live members: ${members ?? 'not known'}`
      : 'connecting';
  return `fleet store ${visible(store)}: ${state}; key ${visible(keyId)}`;
}

function auditState({ failing, whenFailing }: NonNullable<Status['audit']>): string {
  if (failing === undefined) return 'written';
  return `cannot be written (${visible(failing)}); ${whenFailing === 'refuse' ? 'calls that change something get 503' : 'calls continue without it'}`;
}

/** Formats ISO 8601 as `00:34 UTC`, with the date unless it is today. */
function clockTime(iso: string, now: string): string {
  const [day = '', time = ''] = visible(iso).split('T');
  const clock = `${time.slice(0, 5)} UTC`;
  return now.startsWith(day) ? clock : `${day} ${clock}`;
}

const UNITS = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
] as const;

/** `3 h`: the largest unit that has at least two. */
function roughly(seconds: number): string {
  const [unit, size] = UNITS.find(([, each]) => seconds >= 2 * each) ?? ['s', 1];
  return `${Math.floor(seconds / size)} ${unit}`;
}
