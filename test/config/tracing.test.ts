// Options of tracing: what a wrong value is told, and where plain http is allowed.
import { describe, expect, it } from 'vitest';
import { COMPLETE_ENV, createFolder, load, problemsOf } from '../support/folder.ts';

describe('config/schema, tracing', () => {
  it.each([
    ['otlp: 127.0.0.1:4318', 'tracing.otlp', 'must be an http or https URL'],
    ['otlp: "https://user:password@otel.example"', 'tracing.otlp', 'without user, query or fragment'],
    ['otlp: http://otel.example:4318', 'tracing.otlp', 'is http:// to another machine: use https://'],
    ['sample: 0.5', 'tracing.otlp', 'is required'],
    ['otlp: https://otel.example, sample: 2', 'tracing.sample', 'must be at most 1'],
    ['otlp: https://otel.example, sample: 10%', 'tracing.sample', 'must be a number'],
    ['otlp: https://otel.example, endpoint: x', 'tracing.endpoint', 'unknown option; allowed here: otlp, sample'],
  ])('refuses %s, and says what is allowed', (options, path, message) => {
    using folder = createFolder();
    const problems = problemsOf(folder, { yaml: `tracing: { ${options} }\n`, env: COMPLETE_ENV });
    expect(problems).toMatchObject([{ path, where: 'config.yaml:1' }]);
    expect(problems[0]?.message).toContain(message);
  });

  it('takes http:// on this machine, and to others where that is allowed', () => {
    using folder = createFolder();
    const tracing = (yaml: string) => load(folder, { yaml, env: COMPLETE_ENV }).config.tracing;
    expect(tracing('tracing: { otlp: "http://[::1]:4318" }')).toMatchObject({ sample: 0.1 });
    const plain = 'tracing: { otlp: http://otel.example:4318/base }\nunsafe: { plainTextHttp: true }';
    expect(tracing(plain)?.otlp).toMatchObject({ origin: 'http://otel.example:4318', basePath: '/base' });
    expect(tracing('')).toBeUndefined();
  });
});
