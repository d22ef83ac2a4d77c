// Which trace a call belongs to: the caller's where it names one, and what the API is told of it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readTraceparent, traceparentOf, withoutTrace } from '../../../src/sidecar/tracing/trace-context.ts';
import { valuesOf } from '../../support/messages.ts';
import { createProxyWorld, type ProxyWorld } from '../../support/proxy-world.ts';
import { startTraceReceiver } from '../../support/trace-receiver.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const OWN = /^00-([\da-f]{32})-([\da-f]{16})-0([01])$/;

/** What the API got of the trace of a call with these header lines. */
async function told(world: ProxyWorld, ...lines: readonly string[]) {
  expect((await world.call('GET /api/x HTTP/1.1', `${lines.map((line) => `${line}\r\n`).join('')}\r\n`)).status).toBe(
    200,
  );
  const seen = world.upstream.requests.at(-1);
  if (seen === undefined) throw new Error('the API got no request');
  const log = world.sidecar.logs.findLast(({ message }) => message === 'request');
  return { parents: valuesOf(seen, 'traceparent'), states: valuesOf(seen, 'tracestate'), logged: log?.['traceparent'] };
}

const traced = (sample: number) => createProxyWorld({ config: { tracing: { otlp: 'http://127.0.0.1:1', sample } } });

describe('sidecar/tracing/trace-context', () => {
  it.each([
    ['a sampled trace', `00-${TRACE}-${SPAN}-01`, '01'],
    ['a trace that is not sampled', `00-${TRACE}-${SPAN}-00`, '00'],
    ['a trace with a random id', `00-${TRACE}-${SPAN}-03`, '03'],
    ['unknown flags', `00-${TRACE}-${SPAN}-fd`, '01'],
    ['a later version', `01-${TRACE}-${SPAN}-01-and-more`, '01'],
  ])('continues %s, whatever share is recorded', async (_name, traceparent, flags) => {
    for (const sample of [0, 1]) {
      await using world = await traced(sample);
      const { parents, states, logged } = await told(
        world,
        `TraceParent: ${traceparent}`,
        'TraceState: a=1, b=2',
        'tracestate: c=3',
      );
      expect(parents.map((value) => value.replace(/-[\da-f]{16}-/, '-*-'))).toEqual([`00-${TRACE}-*-${flags}`]);
      expect(parents[0]).not.toContain(SPAN);
      expect(states).toEqual(['a=1, b=2', 'c=3']);
      expect(String(logged)).toMatch(new RegExp(`^00-${TRACE}-`));
    }
  });

  it.each([
    ['none', []],
    ['capital letters', [`00-${TRACE.toUpperCase()}-${SPAN}-01`]],
    ['version ff', [`ff-${TRACE}-${SPAN}-01`]],
    ['more than version 00 has', [`00-${TRACE}-${SPAN}-01-more`]],
    ['a trace id of zeros', [`00-${'0'.repeat(32)}-${SPAN}-01`]],
    ['a span id of zeros', [`00-${TRACE}-${'0'.repeat(16)}-01`]],
    ['a short trace id', [`00-${TRACE.slice(1)}-${SPAN}-01`]],
    ['a later version without a hyphen after its flags', [`01-${TRACE}-${SPAN}-01more`]],
    ['two values', [`00-${TRACE}-${SPAN}-01`, `00-${TRACE}-${SPAN}-01`]],
    ['two values in one line', [`00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`]],
    ['nothing', ['']],
  ])('starts a trace for a call with %s, and drops its state', async (_name, values) => {
    for (const sample of [0, 1]) {
      await using world = await traced(sample);
      const lines = values.map((value) => `traceparent: ${value}`);
      const { parents, states, logged } = await told(world, ...lines, 'tracestate: a=1');
      expect(parents).toHaveLength(1);
      const [, traceId, , flag] = OWN.exec(parents[0] ?? '') ?? [];
      expect([traceId === TRACE, flag, states]).toEqual([false, String(sample), []]);
      // A call that is not recorded: what the caller sent, as without tracing.
      if (sample === 0) expect(logged).toBe(values[0]);
      else expect(String(logged)).toContain(traceId);
    }
  });

  it('forwards both headers unchanged without tracing, and invents none', async () => {
    await using world = await createProxyWorld();
    const odd = 'traceparent: anything';
    expect(await told(world, odd, odd, 'tracestate: a=1')).toEqual({
      ...{ parents: ['anything', 'anything'], states: ['a=1'], logged: 'anything' },
    });
    expect(await told(world)).toEqual({ parents: [], states: [], logged: undefined });
  });

  it('records about the configured share of the calls that begin a trace, and all of a caller that records its own', async () => {
    await using receiver = await startTraceReceiver();
    const tracing = { otlp: receiver.url, sample: 0.25 };
    {
      await using world = await createProxyWorld({ config: { tracing } });
      using caller = await world.open();
      for (let count = 0; count < 200; count += 1) {
        caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
        await caller.answer();
      }
      for (let count = 0; count < 5; count += 1) await told(world, `traceparent: 00-${TRACE}-${SPAN}-01`);
      for (let count = 0; count < 5; count += 1) await told(world, `traceparent: 00-${SPAN.repeat(2)}-${SPAN}-00`);
    }
    const requests = receiver.spans.filter(({ kind }) => kind === 'SERVER');
    expect(requests.filter(({ traceId }) => traceId === TRACE)).toHaveLength(5);
    expect(requests.filter(({ traceId }) => traceId === SPAN.repeat(2))).toEqual([]);
    // Five standard deviations.
    expect(Math.abs(requests.length - 5 - 50)).toBeLessThan(31);
  });

  it('reads what it writes, and nothing else of any text', () => {
    const hex = (length: number) =>
      fc.stringMatching(new RegExp(`^[\\da-f]{${length}}$`)).filter((text) => !/^0+$/.test(text));
    const context = fc.record({ traceId: hex(32), spanId: hex(16), isSampled: fc.boolean(), isRandom: fc.boolean() });
    fc.assert(fc.property(context, (one) => void expect(readTraceparent([traceparentOf(one)])).toEqual(one)));
    fc.assert(fc.property(fc.string(), (text) => void expect(readTraceparent([text])).toBeUndefined()));
    expect(withoutTrace(['A', '1', 'TRACEPARENT', '2', 'tracestate', '3'], true)).toEqual([
      'A',
      '1',
      'tracestate',
      '3',
    ]);
  });
});
