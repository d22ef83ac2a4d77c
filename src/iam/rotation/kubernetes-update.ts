/**
 * Reads and changes a Secret that several programs change. Hides conflicts and temporary API server failures. Each try
 * plans the change anew from the current object: a change whose response was lost is found done and not repeated, and
 * one that arrives late is refused, because the object has a newer version.
 */
import { SidecarError } from '../../core/errors.ts';
import type { ApiResponse, KubernetesApi, KubernetesSecret, SecretChange } from './kubernetes-api.ts';
import type { RotationClock } from './verification.ts';

export interface SharedObject {
  read(): Promise<KubernetesSecret>;
  /** @param plan returns what to change, or undefined when it is already done; if it throws, the change ends */
  change(plan: Plan, limit?: RetryLimit): Promise<void>;
}

export type Plan = (current: KubernetesSecret) => SecretChange | undefined;

/** `brief`: for changes that are repeated anyway, or hardly matter any more. */
export type RetryLimit = 'long' | 'brief';

/** ms to wait after no response, a 408, a 429 or a 5xx. */
const PAUSES_MS: Readonly<Record<RetryLimit, readonly number[]>> = { long: [500, 1500, 4000, 8000], brief: [500] };
/** If the server asks for a longer wait, the operation fails. */
const LONGEST_WAIT_MS = 60_000;

/** After another program's change in between. One of the programs always succeeds, so a short pause is enough. */
const MAX_CONFLICTS = 8;
const CONFLICT_PAUSE_MS = 50;

/** Adds retries to the API. Both functions throw SidecarError ROTATION_STORE_FAILED. */
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

/** Go's HTTP server always sends `Date`; if something in between removes it, use this machine's clock. */
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
