// What every example for an ERP has to get right, also those in languages that cannot be run here.
import { describe, expect, it } from 'vitest';
import { ERRORS } from '../../src/core/errors.ts';
import { readText } from '../support/deployment.ts';
import { EXAMPLES } from '../support/erp-examples.ts';
import { COMPLETE_ENV, createFolder, load } from '../support/folder.ts';

const TEXT = readText('README.md');

describe('deploy/README.md', () => {
  it('has an example for each of the programs it promises', () => {
    expect([...EXAMPLES.keys()]).toEqual([
      'curl',
      'Java: HttpURLConnection',
      'Java: Apache HttpClient 4',
      '.NET Framework',
      'Dynamics NAV and Business Central',
      'SAP: RFC destination of type G',
      'PowerShell',
      'VBA, VB6, Access, Excel: WinHTTP',
      'PHP',
      'Perl: LWP',
      'Python',
      'Delphi',
    ]);
  });

  it.each([...EXAMPLES])('%s keeps the key of the payment and tells the four outcomes apart', (_heading, code) => {
    for (const word of ['Idempotency-Key', 'mayHaveExecuted', 'paid', 'not sent', 'unknown', 'refused']) {
      expect(code).toContain(word);
    }
    expect(code).toMatch(/x-sidecar-error/i);
  });

  it.each([...EXAMPLES].filter(([heading]) => !heading.startsWith('SAP')))(
    '%s says where, who is calling, and for how long it waits',
    (_heading, code) => {
      expect(code).toContain('127.0.0.1:7080');
      expect(code).toContain('/banking/payments/credit-transfer');
      expect(code).toContain('the-key-of-this-erp');
      expect(code).toMatch(/\b180(?:_?000)?\b/);
    },
  );

  it('waits longer than the sidecar waits by default, a replay included', () => {
    using folder = createFolder();
    const { token, timeouts } = load(folder, { env: COMPLETE_ENV }).config;
    const once = token.waitTimeout + timeouts.queue + timeouts.connect + timeouts.firstByte;
    expect(180_000).toBeGreaterThan(2 * once);
  });

  it('names only error codes that exist', () => {
    const codes = [...TEXT.matchAll(/\b(?:CALLER|CREDENTIALS|TOKEN|UPSTREAM)_[A-Z_]+\b/g)].map(([code]) => code);
    expect(codes.length).toBeGreaterThan(1);
    expect(codes.filter((code) => !(code in ERRORS))).toEqual([]);
  });
});
