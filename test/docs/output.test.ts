/** What a page shows is compared with what a command printed: by words where they are fixed, by shape where they differ. */
import { describe, expect, it } from 'vitest';
import { outputDifference } from '../support/doc-output.ts';

describe('what a page shows', () => {
  it.each([
    ['the same', 'a\nb\n', 'a\nb\n'],
    ['blank lines around it, and at the ends of lines', 'a\n', '\r\n\r\na  \r\n\r\n'],
    ['any text of a line', 'id … of …\nb', 'id 17 of 20, today\nb'],
    ['any lines', 'a\n…\nz\n', 'a\nb\nc\nz\n'],
    ['any lines, of which there are none', 'a\n…\nz\n', 'a\nz\n'],
    ['any lines at the end', 'a\n…\n', 'a\nb\n'],
    ['another UUID', 'id 6f9619ff-8b86-4d01-b42d-00cf4fc964ff', 'id 00000000-0000-4000-8000-000000000000'],
    ['another date', 'at 2026-01-05T10:00:00.000Z', 'at 2027-11-29T14:19:15Z'],
    ['another date of a header', 'Date: Mon, 05 Jan 2026 10:00:00 GMT', 'Date: Sun, 29 Nov 2026 14:19:15 GMT'],
    ['another duration', 'valid for 3600 s, 12 ms', 'valid for 3599 s, 9.5 ms'],
    ['another fingerprint', 'fingerprint 89f48061', 'fingerprint 08b3f41a'],
    ['another free port', 'http://127.0.0.1:17100/x', 'http://127.0.0.1:43211/x'],
    ['columns of another width', 'a        12 s   b', 'a      12345 s  b'],
    ['colours', 'ok', '\u001b[32mok\u001b[0m'],
    ['progress that was written over', 'done', 'waiting…\rdone'],
    ['signs that mean something in patterns', '(a) [b]? {c}* $d ^e \\f |', '(a) [b]? {c}* $d ^e \\f |'],
  ])('matches %s', (_what, shown, printed) => {
    expect(outputDifference(shown, printed)).toBeUndefined();
  });

  it.each([
    ['another word', 'a\nb', 'a\nc', 'this line was not printed: b'],
    ['a line too many', 'a', 'a\nb', 'more was printed than the page shows'],
    ['a line too few', 'a\nb', 'a', 'this line was not printed: b'],
    ['a line that `…` does not reach', 'a\n…\nz', 'a\nb', 'this line was not printed: z'],
    ['another number', '3 errors', '4 errors', '3 errors'],
    ['another documented port', 'http://127.0.0.1:7080', 'http://127.0.0.1:7090', '7080'],
    ['a date instead of a duration', 'for 12 s', 'for 2026-01-05', 'for 12 s'],
    ['nothing', 'a', '', 'this line was not printed: a'],
    ['something where it shows nothing', '', 'a', 'more was printed'],
  ])('does not match %s', (_what, shown, printed, expected) => {
    expect(outputDifference(shown, printed)).toContain(expected);
  });

  it('of a server is what it prints first', () => {
    expect(outputDifference('a\nb', 'a\nb\nc\n', { isStart: true })).toBeUndefined();
    expect(outputDifference('a\nb', 'a\nc\n', { isStart: true })).toContain('b');
  });
});
