// The key under which a failed call was sent, as operators are shown it.
import { describe, expect, it } from 'vitest';
import { idempotencyKeyOf } from '../../src/proxy/failed-call.ts';
import { createProxyWorld } from '../support/proxy-world.ts';

describe('proxy/failed-call', () => {
  it.each([
    [['Idempotency-Key', 'pay-1'], 'pay-1'],
    [['A', 'idempotency-key', 'idempotency_key', 'pay-2'], 'pay-2'],
    [['Idempotency-Key', 'first', 'Idempotency-Key', 'second'], 'first'],
    [['Idempotency-Key', 'x'.repeat(64)], 'x'.repeat(64)],
    [['Idempotency-Key', 'x'.repeat(65)], `${'x'.repeat(64)}…`],
    [['Idempotency-Key', ''], undefined],
    [['Idempotency-Key', 'two words'], undefined],
    [['Idempotency-Key', 'p\xe5y'], undefined],
    [['Idempotency-Key', 'a\x1b[31m'], undefined],
    [['X', 'y'], undefined],
  ] as const)('of %j is %j', (headers, key) => {
    expect(idempotencyKeyOf(headers)).toBe(key);
  });

  it('is the one of the caller before one of ours', () => {
    expect(idempotencyKeyOf([], ['Idempotency-Key', 'ours'])).toBe('ours');
    expect(idempotencyKeyOf(['Idempotency-Key', 'theirs'], ['Idempotency-Key', 'ours'])).toBe('theirs');
  });

  it('is in /status with a payment that was sent and got no response; a read is not listed there', async () => {
    await using world = await createProxyWorld({ answer: () => 'broken', basePath: '' });
    const send = (method: string) =>
      fetch(`${world.sidecar.url}/api/payments`, {
        method,
        headers: { 'Idempotency-Key': `key-${method}`, 'X-Request-Id': `id-${method}` },
      });
    expect((await send('POST')).status).toBe(502);
    expect((await send('GET')).status).toBe(502);
    const status = await (await fetch(`${world.sidecar.adminUrl}/status`)).json();
    expect(status).toMatchObject({
      unknownOutcomes: [
        {
          route: '/api',
          method: 'POST',
          requestId: 'id-POST',
          idempotencyKey: 'key-POST',
          mayHaveExecuted: true,
        },
      ],
    });
    expect(JSON.stringify(status)).toContain('id-GET');
  });
});
