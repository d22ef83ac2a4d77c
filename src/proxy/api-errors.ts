/**
 * Explains error responses of an API that point to a wrong set-up. The caller gets the response unchanged, so the
 * explanation goes to the log and the status page.
 */
import type { Failure, Words } from '../core/failure.ts';

/**
 * Returns the explanation for 401, 403 and 5xx; undefined for other statuses, which concern only caller and API.
 * @param host of the API, `banking.aritma.io:443`
 * @example
 * apiFailure(401, 'banking.aritma.io:443')?.cause; // 'api_refuses_token'
 */
export function apiFailure(status: number, host: string): Failure | undefined {
  // The usual case.
  if (status < 400) return undefined;
  const words = status >= 500 ? failed(status, host) : REFUSALS[status]?.(host);
  return words && { ...words, host };
}

/** Whether the next call will probably fail, too. Not for 403: permissions differ from call to call. */
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
