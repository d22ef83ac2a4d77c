/**
 * What an API's own response means where it concerns the set-up and not the caller alone: the response goes to the caller as it is,
 * so log and status page say it.
 */
import type { Failure, Words } from '../core/failure.ts';

/**
 * Undefined for what is between caller and API.
 * @param host of the API, `banking.aritma.io:443`
 */
export function apiFailure(status: number, host: string): Failure | undefined {
  // Of nearly every response.
  if (status < 400) return undefined;
  const words = status >= 500 ? failed(status, host) : REFUSALS[status]?.(host);
  return words && { ...words, host };
}

/** Whether the next call will most likely fare the same; what one client may do (403) differs from call to call. */
export function isOutOfOrder(status: number): boolean {
  return status >= 500 || status === 401;
}

function failed(status: number, host: string): Words {
  return {
    cause: 'api_error',
    message: `the API at ${host} itself responds with HTTP ${status}`,
    fix: 'ask the API’s operator about its status; the sidecar forwards its responses unchanged',
  };
}

const REFUSALS: Readonly<Record<number, (host: string) => Words>> = {
  401: (host) => ({
    cause: 'api_refuses_token',
    message: `the API at ${host} refuses the token, or requires other credentials (HTTP 401)`,
    fix: 'check scope and audience of the route, and that token endpoint and API belong to the same environment; `aritma-sidecar check` reads the token’s claims',
  }),
  403: (host) => ({
    cause: 'api_forbids',
    message: `the API at ${host} accepts the token but does not allow this client this call (HTTP 403)`,
    fix: 'give the client a policy in Aritma IAM for this call; if it has one, the API may allow only certain IP addresses',
  }),
};
