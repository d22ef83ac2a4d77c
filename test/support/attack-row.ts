/** One row of the attack table, played against either subject; collects every fault as a complaint. */
import { setTimeout } from 'node:timers/promises';
import type { Subject } from './attack-subject.ts';
import type { AttackUpstream, ReachedRequest } from './attack-upstream.ts';
import { type Answer, type Caller, openCaller } from './caller.ts';
import { PATIENCE_MS } from './own-time.ts';

export interface AttackRow {
  /** `A01`, `R14` (section 2), `P03` or `M` (methods and framings). */
  readonly id: string;
  /** Condition and outcome, in the present tense. */
  readonly name: string;
  /** Whether the control is known to fail here. */
  readonly naiveFails?: true;
  /** Why the control does not play this row. */
  readonly leftOut?: string;
  /** A known fault of the sidecar; the row must then fail because of it. */
  readonly defect?: string;
  /** Played by a sidecar with short time limits. */
  readonly hasty?: true;
  /** It calls `/other`; in all other rows no byte may go there. */
  readonly callsOther?: true;
  readonly play: (stage: Stage) => Promise<void>;
}

export interface Stage {
  readonly subject: Subject;
  readonly upstream: AttackUpstream;
  readonly isSidecar: boolean;
  check(complaint: string, fine: boolean): void;
  /** Checks only for the sidecar: what a control need not do, such as the sidecar's headers and codes. */
  strict(complaint: string, fine: boolean): void;
  /** Opens a connection and sends bytes, with `{host}`, `{api}` and `{evil}` replaced by authorities. */
  send(bytes: string): Promise<Caller>;
  fill(bytes: string): string;
  answer(caller: Caller, toHead?: boolean): Promise<Answer>;
  ended(caller: Caller): Promise<'end' | 'reset'>;
  /** Waits for a condition; adds a complaint when it does not become true in time. */
  until(complaint: string, condition: () => boolean): Promise<void>;
  /** Sends a well-formed request after everything else, and checks what else reached the API. */
  barrier(): Promise<readonly ReachedRequest[]>;
}

export const REACHED = 'something reached the API';
export const DEAD = 'the process is gone';
/** Time limit for the control: it often does not respond at all, and being slow is no fault here. */
const SHORT_PATIENCE_MS = 400;

export async function playAttack(row: AttackRow, subject: Subject): Promise<string[]> {
  const complaints = new Set<string>();
  const callers: Caller[] = [];
  const { pid } = subject;
  try {
    const timeoutMs = subject.name === 'naive' ? SHORT_PATIENCE_MS : PATIENCE_MS;
    const stage = createStage({ subject, complaints, callers, timeoutMs });
    await row.play(stage);
    await stage.barrier();
  } catch (error) {
    complaints.add(String(error).slice(0, 300));
  } finally {
    if (!row.callsOther && subject.foreign.received.length > 0) complaints.add('another host was reached');
    for (const caller of callers) caller[Symbol.dispose]();
    if (!subject.isAlive() || subject.pid !== pid) complaints.add(DEAD);
    await subject.clear();
  }
  return [...complaints];
}

interface Play {
  readonly subject: Subject;
  readonly complaints: Set<string>;
  readonly callers: Caller[];
  readonly timeoutMs: number;
}

function createStage({ subject, complaints, callers, timeoutMs }: Play): Stage {
  const { upstream, name } = subject;
  const check: Stage['check'] = (complaint, fine) => void (fine || complaints.add(complaint));
  const fill = (bytes: string) =>
    bytes
      .replaceAll('{host}', `127.0.0.1:${subject.port}`)
      .replaceAll('{api}', upstream.authority)
      .replaceAll('{evil}', subject.foreign.authority);
  const send: Stage['send'] = async (bytes) => {
    const caller = await openCaller(subject.port);
    callers.push(caller);
    caller.send(fill(bytes));
    return caller;
  };
  return {
    subject,
    upstream,
    isSidecar: name === 'sidecar',
    check,
    strict: (complaint, fine) => void (name === 'sidecar' && check(complaint, fine)),
    fill,
    send,
    answer: (caller, toHead = false) => caller.answer({ toHead, timeoutMs }),
    ended: (caller) => caller.ended(timeoutMs),
    async until(complaint, condition) {
      for (const deadline = Date.now() + timeoutMs; !condition() && Date.now() < deadline; ) await setTimeout(2);
      check(complaint, condition());
    },
    async barrier() {
      const caller = await send('GET /api/barrier HTTP/1.1\r\nHost: {host}\r\n\r\n');
      const { status, body } = await caller.answer({ timeoutMs });
      check('the next caller is not served', status === 200 && body === 'fine');
      return upstream.requests.filter(({ target }) => target !== '/barrier');
    },
  };
}
