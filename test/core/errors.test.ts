// The error table is an API: what is in it, and that nothing but its own text reaches a caller.
import { describe, expect, it } from 'vitest';
import { ERRORS, type ErrorCode, SidecarError } from '../../src/core/errors.ts';
import { rawResponse, toProblem } from '../../src/core/problem.ts';

const ROWS = Object.entries(ERRORS) as [ErrorCode, (typeof ERRORS)[ErrorCode]][];
const FAMILIES = /^(CONFIG|SIDECAR|CALLER|ROUTE|CREDENTIALS|TOKEN|UPSTREAM|IAM|ROTATION)_[A-Z_]+$/;

describe('errors', () => {
  it.each(ROWS)('%s belongs to a family and says what happened and what to do', (code, row) => {
    expect(code).toMatch(FAMILIES);
    expect(row.status).toBeGreaterThanOrEqual(400);
    expect(row.status).toBeLessThan(600);
    expect(row.title).toMatch(/^[A-Z].*[^.]$/u);
    expect(row.detail).toMatch(/\.$/);
    expect(row.detail.length).toBeGreaterThan(40);
  });

  it.each([
    ['CONFIG_INVALID', 2],
    ['SIDECAR_LISTEN_FAILED', 3],
    ['CREDENTIALS_REJECTED', 5],
    ['TOKEN_UNAVAILABLE', 6],
    ['UPSTREAM_UNREACHABLE', 7],
    ['UPSTREAM_REFUSED_TOKEN', 7],
    ['SIDECAR_INTERNAL', 1],
  ] as const)('%s ends a command with %d', (code, exit) => {
    expect(ERRORS[code].exit).toBe(exit);
  });

  it.each(['TOKEN_UNAVAILABLE', 'CREDENTIALS_REJECTED'] as const)(
    '%s is never a 401, which a caller would take for its own',
    (code) => {
      expect(ERRORS[code].status).toBe(503);
    },
  );

  it.each(ROWS)('%s becomes a whole RFC 9457 problem with its code as header', (code, row) => {
    const { status, headers, body } = toProblem(new SidecarError(code), 'id-1');
    expect(JSON.parse(body)).toEqual({
      type: `urn:aritma-sidecar:error:${code}`,
      title: row.title,
      status: row.status,
      code,
      detail: row.detail,
      requestId: 'id-1',
    });
    expect(status).toBe(row.status);
    expect(headers).toEqual({
      'Content-Type': 'application/problem+json',
      'Content-Length': String(Buffer.byteLength(body)),
      'Cache-Control': 'no-store',
      'X-Sidecar-Error': code,
      'X-Request-Id': 'id-1',
    });
  });

  it.each(ROWS)('%s without a request of its own says that nothing was sent', (code) => {
    expect(JSON.parse(rawResponse(new SidecarError(code)).split('\r\n\r\n')[1] ?? '')).toMatchObject({
      code,
      mayHaveExecuted: false,
    });
  });

  it('lets nothing of evidence, cause and problems into the answer', () => {
    const error = new SidecarError('UPSTREAM_RESET', {
      mayHaveExecuted: true,
      fields: { errno: 'CANARY' },
      cause: new Error('CANARY'),
      problems: [{ where: 'CANARY', path: 'CANARY', message: 'CANARY' }],
    });
    const problem = toProblem(error, 'id-1', true);
    expect(JSON.stringify(problem)).not.toContain('CANARY');
    expect(JSON.parse(problem.body)).toHaveProperty('mayHaveExecuted', true);
    expect(error.message).not.toContain('CANARY');
  });

  it.each([
    [0, '1'],
    [0.2, '1'],
    [1.01, '2'],
    [90, '90'],
  ])('states %d seconds to wait as %s whole ones', (retryAfterS, header) => {
    const { headers } = toProblem(new SidecarError('TOKEN_UNAVAILABLE', { retryAfterS }), 'id-1');
    expect(headers['Retry-After']).toBe(header);
  });
});
