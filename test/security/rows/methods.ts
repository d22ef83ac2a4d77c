/** All methods in all framings: A09 and the matrix M. What is left unframed would be the next request, with our token. */
import { chunked, passed, request } from '../../support/attack-kinds.ts';
import type { AttackRow } from '../../support/attack-row.ts';

const CHUNKED = 'Transfer-Encoding: chunked\r\n';
/** Alone on a connection it would be a request of its own. */
const SMUGGLED = 'DELETE /api/evil HTTP/1.1\r\nHost: evil\r\nContent-Length: 0\r\n\r\n';
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
/** Methods whose unframed bodies are the known hole. */
const UNFRAMED = ['GET', 'HEAD', 'DELETE', 'OPTIONS'];

export const METHOD_ROWS: readonly AttackRow[] = METHODS.flatMap((method): AttackRow[] => [
  passed({
    leftOut: 'even it does well',
    id: 'M',
    name: `${method} without a body: one request without a body`,
    bytes: request(`${method} /api/x`),
    method,
    target: '/x',
  }),
  passed({
    leftOut: 'even it does well',
    id: 'M',
    name: `${method} with a length: one request with that length`,
    bytes: request(`${method} /api/x`, `Content-Length: ${SMUGGLED.length}\r\n`, SMUGGLED),
    method,
    target: '/x',
    body: SMUGGLED,
  }),
  passed({
    id: UNFRAMED.includes(method) ? 'A09' : 'M',
    name: `${method} in chunks: one request, its body is not the next one`,
    bytes: request(`${method} /api/x`, CHUNKED, chunked(SMUGGLED.slice(0, 9), SMUGGLED.slice(9))),
    method,
    target: '/x',
    body: SMUGGLED,
    ...(UNFRAMED.includes(method) ? { naiveFails: true as const } : { leftOut: 'even it does well' }),
  }),
  passed({
    id: 'M',
    name: `${method} in more chunks than are buffered: one request in chunks`,
    bytes: request(`${method} /api/x`, CHUNKED, chunked('x'.repeat(60_000), SMUGGLED, 'y'.repeat(60_000))),
    method,
    target: '/x',
    body: `${'x'.repeat(60_000)}${SMUGGLED}${'y'.repeat(60_000)}`,
    framing: 'chunked',
    ...(UNFRAMED.includes(method) ? { naiveFails: true as const } : { leftOut: 'even it does well' }),
  }),
]);
