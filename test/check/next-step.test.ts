import { describe, expect, it } from 'vitest';
import { FINDING, type Finding } from '../../src/check/finding.ts';
import { nextStep } from '../../src/check/next-step.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { ErrorCode } from '../../src/core/errors.ts';

const load = (more: object = {}) =>
  loadConfig({
    env: { S: 'a-secret-of-the-test', K: 'a-key-of-a-caller-with-32-characters' },
    document: {
      credentials: { default: { tokenEndpoint: 'https://id.example/t', clientId: 'x', secrets: [{ env: 'S' }] } },
      routes: [
        { path: '/banking', upstream: 'https://banking.example' },
        { path: '/events', upstream: 'https://events.example' },
      ],
      ...more,
    },
  });

const wrong = (subject: string, code: ErrorCode, words: Partial<Finding> = {}) =>
  FINDING.error(subject, code, { cause: 'c', message: 'm', fix: 'do it', ...words });
const API = wrong('upstream /banking → https://banking.example', 'UPSTREAM_REFUSED_TOKEN');

describe('the next step', () => {
  it('is the fix for the most basic error, wherever it stands, with the option', () => {
    const token = wrong('token default (api)', 'CREDENTIALS_REJECTED', { fix: 'create a new secret' });
    expect(nextStep([API, token], load())).toEqual({
      next: 'token default (api): create a new secret [credentials.default]',
      option: 'credentials.default',
    });
  });

  it.each<[Finding, string | undefined]>([
    [API, 'routes[/banking]'],
    [wrong('listen 127.0.0.1:7080', 'SIDECAR_LISTEN_FAILED'), 'listen'],
    [wrong('network credential default → https://id.example', 'TOKEN_UNAVAILABLE'), 'credentials.default'],
    [wrong('network route /a, /b → https://x.example', 'UPSTREAM_UNREACHABLE'), 'routes[/a].upstream'],
    [wrong('audit /var/log/a.jsonl', 'SIDECAR_AUDIT_FAILED'), 'audit.file'],
    [wrong('secret default 1', 'CONFIG_INVALID'), 'credentials.default.secrets'],
    [wrong('clock (id.example)', 'TOKEN_UNAVAILABLE'), undefined],
    [
      wrong('configuration a.yaml:3', 'CONFIG_INVALID', {
        ...{ cause: 'configuration_invalid', message: 'routes.0.upstream must be a URL' },
      }),
      'routes.0.upstream',
    ],
  ])('names the option of %j', (finding, option) => {
    expect(nextStep([finding], undefined).option).toBe(option);
  });

  it('is to use the sidecar when nothing is wrong, warnings or not', () => {
    const warning = FINDING.warning('configuration', 'CONFIG_INVALID', { cause: 'c', message: 'm', fix: 'f' });
    const taken = FINDING.ok('listen 127.0.0.1:7080', 'in use by a running sidecar: version 1');
    expect(nextStep([warning, taken], load())).toEqual({
      next: 'set the base URL of the API in the ERP to http://127.0.0.1:7080/banking or http://127.0.0.1:7080/events',
    });
  });

  it('begins with the start when none runs, and names the key that callers need', () => {
    const free = FINDING.ok('listen 127.0.0.1:7080', 'free');
    const { next } = nextStep([free], load({ callers: { keys: { erp: { secrets: [{ env: 'K' }] } } } }));
    expect(next).toMatch(
      /^start it with `aritma-sidecar serve`, then set .*, and let it send its key in X-Sidecar-Key$/,
    );
  });
});
