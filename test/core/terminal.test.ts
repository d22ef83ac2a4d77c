// Names from servers at a terminal: shown, never obeyed.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { visible, visibleLines } from '../../src/core/terminal.ts';

describe('terminal-text', () => {
  it.each([
    ['plain text of any script', 'Blåbær 銀行 ñ 🏦', 'Blåbær 銀行 ñ 🏦'],
    ['escape sequences', '\u001b[31m\u009b2J', '\\u001b[31m\\u009b2J'],
    ['line ends of every kind', 'a\r\nb\u0085c\u2028d', 'a\\u000d\\u000ab\\u0085c\\u2028d'],
    ['text that turns around', '\u202ecod.exe\u2066', '\\u202ecod.exe\\u2066'],
    ['invisible characters beyond the first plane', '\u{e0041}', '\\udb40\\udc41'],
    ['half a character', 'a\ud800', 'a\\ud800'],
    ['rub-out and bell', '\u007f\u0007', '\\u007f\\u0007'],
  ])('shows %s', (_what, text, shown) => {
    expect(visible(text)).toBe(shown);
  });

  it('keeps the ends of lines where there are several', () => {
    expect(visibleLines('a\u001b\nb\r\n')).toBe('a\\u001b\nb\\u000d\n');
  });

  it('changes nothing that JSON says, whatever it says', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        const line = JSON.stringify(value);
        expect(JSON.parse(visibleLines(line))).toEqual(JSON.parse(line));
      }),
    );
  });
});
