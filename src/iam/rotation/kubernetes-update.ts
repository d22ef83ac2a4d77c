/**
 * A Secret that several programs change: reads it, and changes it only as it was read. Hides conflicts with others and
 * API servers in trouble. A change is planned anew from what is there before each try, so one whose response was lost
 * is found done and not done twice, and one that arrives late is refused because the object has moved on.
 */
import { SidecarError } from '../../core/errors.ts';
import type { ApiResponse, KubernetesApi, KubernetesSecret, SecretChange } from './kubernetes-api.ts';
import type { RotationClock } from './verification.ts';

export interface SharedObject {
  read(): Promise<KubernetesSecret>;
  /** @param plan what to change, or undefined when it is done already; may throw, which ends it */
  change(plan: Plan, limit?: RetryLimit): Promise<void>;
}

export type Plan = (current: KubernetesSecret) => SecretChange | undefined;

/** `brief`: for what is tried again anyway, or no longer matters much. */
export type RetryLimit = 'long' | 'brief';

/** Pauses after no response, a 429 or a 5xx. */
const PAUSES_MS: Readonly<Record<RetryLimit, readonly number[]>> = { long: [500, 1500, 4000, 8000], brief: [500] };
/** A server that wants to be left alone for longer is left alone, and the operation fails. */
const LONGEST_WAIT_MS = 60_000;

/** Somebody else's change came in between: one of us always gets through, so a short pause is enough. */
const MAX_CONFLICTS = 8;
const CONFLICT_PAUSE_MS = 50;

/** Both functions throw SidecarError ROTATION_STORE_FAILED. */
export function shareObject(api: KubernetesApi, clock: RotationClock): SharedObject {
  return {
    read: () => retry(() => api.get(), 'long', clock),
    async change(plan, limit = 'long') {
      const readAndChange = async (): Promise<ApiResponse> => {
        const found = await api.get();
        if (found.kind !== 'done') return found;
        const change = plan(withTime(found.secret, clock));
        return change ? api.patch(found.secret.resourceVersion, change) : found;
      };
      await retry(readAndChange, limit, clock);
    },
  };
}

async function retry(
  work: () => Promise<ApiResponse>,
  limit: RetryLimit,
  clock: RotationClock,
): Promise<KubernetesSecret> {
  let conflicts = 0;
  const pauses = [...PAUSES_MS[limit]];
  for (;;) {
    const response = await work();
    if (response.kind === 'done') return withTime(response.secret, clock);
    if (response.kind === 'conflict') {
      conflicts++;
      if (conflicts > MAX_CONFLICTS) throw contended();
      await clock.sleep(CONFLICT_PAUSE_MS * conflicts);
      continue;
    }
    const pauseMs = pauses.shift();
    if (pauseMs === undefined || response.retryAfterMs > LONGEST_WAIT_MS) throw toldWhen(response);
    await clock.sleep(Math.max(pauseMs, response.retryAfterMs));
  }
}

/** Go's HTTP server always sends `Date`; should something between remove it, our own clock must do. */
function withTime(secret: KubernetesSecret, clock: RotationClock): KubernetesSecret {
  return Number.isNaN(secret.saidAt) ? { ...secret, saidAt: clock.now() } : secret;
}

function contended(): SidecarError {
  const reason = 'other programs keep changing the Secret between reading and writing it';
  return new SidecarError('ROTATION_STORE_FAILED', { fields: { doing: 'change', status: 409, reason } });
}

function toldWhen({ error, retryAfterMs }: Extract<ApiResponse, { kind: 'unavailable' }>): SidecarError {
  if (retryAfterMs === 0) return error;
  return new SidecarError(error.code, { ...error.extras, retryAfterS: retryAfterMs / 1000 });
}
