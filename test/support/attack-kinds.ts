/** The three kinds of most rows in the attack table: refused, forwarded, responded. */
import { type AttackRow, REACHED, type Stage } from './attack-row.ts';
import type { ReachedRequest, Script } from './attack-upstream.ts';
import type { Answer } from './caller.ts';
import { valuesOf } from './messages.ts';

export type Marks = Pick<AttackRow, 'naiveFails' | 'leftOut' | 'defect' | 'hasty'>;

/** A request with the sidecar's Host. */
export function request(line: string, fields = '', body = ''): string {
  return `${line} HTTP/1.1\r\nHost: {host}\r\n${fields}\r\n${body}`;
}

/** Why the control does not play this row: Node itself refuses the request in both. */
export const PARSER = 'it has the same parser';

export function chunked(...pieces: readonly string[]): string {
  return [...pieces, ''].map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join('');
}

export interface Refusal extends Marks {
  readonly id: string;
  readonly name: string;
  readonly bytes: string;
  readonly statuses: readonly number[];
  /** The connection must close: the start of its next message is unknown. */
  readonly closes?: true;
}

/** An error response of the sidecar, and no byte to the API. */
export function refused({ bytes, statuses, closes, ...row }: Refusal): AttackRow {
  return {
    ...row,
    async play(stage) {
      const caller = await stage.send(bytes);
      const answer = await stage.answer(caller);
      stage.check(
        `the answer is ${answer.status}`,
        stage.isSidecar ? statuses.includes(answer.status) : answer.status >= 400,
      );
      stage.strict('the answer is no problem of our own', isProblem(answer));
      if (closes) await stage.until('the connection stays open', () => caller.ending !== undefined);
      stage.check(REACHED, (await stage.barrier()).length === 0);
      stage.check(REACHED, stage.upstream.received.length === 1);
      if (closes) stage.check('more than one answer', caller.received.match(/HTTP\/1\.1 \d{3} /g)?.length === 1);
    },
  };
}

export function isProblem(answer: Answer): boolean {
  const code = answer.header('x-sidecar-error');
  if (answer.header('content-type') !== 'application/problem+json' || code === undefined) return false;
  const problem = answer.json();
  return problem['code'] === code && problem['status'] === answer.status && typeof problem['requestId'] === 'string';
}

export interface Passage extends Marks {
  readonly id: string;
  readonly name: string;
  readonly bytes: string;
  readonly method?: string;
  /** As the API must receive it. */
  readonly target: string;
  /** The caller's fields that must arrive, unchanged; no others may. */
  readonly fields?: string;
  readonly body?: string;
  /** How the body must be framed for the API. */
  readonly framing?: 'length' | 'chunked';
  readonly status?: number;
  /** Lines that the API must not get, not even from the control. */
  readonly never?: RegExp;
}

/** One complete request to the API, with exactly these bytes and one token, and its response to the caller. */
export function passed(passage: Passage): AttackRow {
  const { bytes, method = 'GET', target, fields = '', body = '', framing, status = 200, never, ...row } = passage;
  return {
    ...row,
    async play(stage) {
      const caller = await stage.send(bytes);
      const answer = await stage.answer(caller, method === 'HEAD');
      stage.check(`the answer is ${answer.status}`, answer.status === status);
      const [reached, ...more] = await stage.barrier();
      stage.check('not exactly one request reached the API', reached !== undefined && more.length === 0);
      if (!reached) return;
      stage.check(`method and target are ${reached.startLine}`, reached.startLine === `${method} ${target} HTTP/1.1`);
      stage.check('the body is another', reached.body === body);
      expectOneToken(stage, reached);
      if (never) stage.check('the API gets what it must not', !head(reached).some((line) => never.test(line)));
      for (const line of fields.split('\r\n').filter(Boolean)) {
        stage.check(`the API does not get ${line}`, head(reached).includes(line));
      }
      const expected = [`${method} ${target} HTTP/1.1`, ...expectedFields(stage, { fields, body, framing, method })];
      const got = maskId([reached.startLine, ...head(reached)].join('\r\n'));
      stage.strict(`the API gets ${got}`, got === expected.join('\r\n'));
    },
  };
}

export function expectOneToken(stage: Stage, reached: ReachedRequest): void {
  const tokens = valuesOf(reached, 'authorization');
  stage.check('the API does not get exactly our token', tokens.length === 1 && stage.subject.isOurs(tokens[0]));
  const hosts = valuesOf(reached, 'host');
  stage.check('the API gets another Host', hosts.length === 1 && hosts[0] === stage.upstream.authority);
}

function head({ fields }: ReachedRequest): string[] {
  return fields.map(([name, value]) => `${name}: ${value}`);
}

interface Expectation {
  readonly fields: string;
  readonly body: string;
  readonly framing: 'length' | 'chunked' | undefined;
  readonly method: string;
}

function expectedFields(stage: Stage, { fields, body, framing, method }: Expectation): string[] {
  const length = body.length > 0 || ['POST', 'PUT', 'PATCH'].includes(method);
  return [
    `host: ${stage.upstream.authority}`,
    // undici closes the connection of a HEAD, in case the response has a body.
    `connection: ${method === 'HEAD' ? 'close' : 'keep-alive'}`,
    ...fields.split('\r\n').filter(Boolean),
    'Via: 1.1 aritma-sidecar',
    'X-Request-Id: ID',
    'Authorization: Bearer TOKEN',
    ...(framing === 'chunked' ? ['transfer-encoding: chunked'] : length ? [`content-length: ${body.length}`] : []),
  ];
}

function maskId(text: string): string {
  return text
    .replace(/X-Request-Id: [0-9a-f]{12}-[0-9a-z]+/, 'X-Request-Id: ID')
    .replace(/Bearer fake-token-[a-z0-9-]+/, 'Bearer TOKEN');
}

export interface AnswerCase extends Marks {
  readonly id: string;
  readonly name: string;
  /** The request; default: a GET. */
  readonly bytes?: string;
  readonly toHead?: boolean;
  /** What the API sends for it; further requests get 200 `fine`. */
  readonly script: string | Script;
  /** Further checks of the response. */
  readonly looks: (stage: Stage, answer: Answer) => void | Promise<void>;
  /** How often the request reaches the API; default: once. */
  readonly sent?: number;
}

/** A response of the API, what the caller sees of it, and a clean next request on both sides. */
export function answered({ bytes, toHead, script, looks, sent = 1, ...row }: AnswerCase): AttackRow {
  return {
    ...row,
    async play(stage) {
      stage.upstream.script(typeof script === 'string' ? () => script : script);
      const caller = await stage.send(bytes ?? request('GET /api/x'));
      const answer = await stage.answer(caller, toHead);
      await looks(stage, answer);
      stage.check('the API is asked another number of times', (await stage.barrier()).length === sent);
    },
  };
}

/** Checks the status, and the sidecar's error code or its absence. */
export function isAnswer(
  status: number,
  options: { code?: string; body?: string; executed?: boolean } = {},
): AnswerCase['looks'] {
  return (stage, answer) => {
    stage.check(`the answer is ${answer.status}`, answer.status === status);
    if (options.body !== undefined) stage.check('the body is another', answer.body === options.body);
    stage.strict('the code is another', answer.header('x-sidecar-error') === options.code);
    if (options.executed === undefined || !stage.isSidecar) return;
    stage.check('mayHaveExecuted is another', answer.json()['mayHaveExecuted'] === options.executed);
  };
}

/** A broken response of the API: the sidecar responds 502 and closes the connection to the API. */
export function spoiled(id: string, what: string, bytes: string, marks: Marks = {}): AttackRow {
  return answered({
    id,
    name: `an answer with ${what}: the caller gets 502 and the connection is given up`,
    ...marks,
    bytes: request('POST /api/x', 'Content-Length: 2\r\n', 'hi'),
    script: bytes,
    async looks(stage, answer) {
      await isAnswer(502, { code: 'UPSTREAM_INVALID', executed: true })(stage, answer);
      await stage.until('the connection is not given up', () => stage.upstream.open === 0);
    },
  });
}
