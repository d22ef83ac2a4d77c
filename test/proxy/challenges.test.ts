/** Challenges by their grammar: what a scheme is, what is only a word inside a string, and what is neither. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Challenge, readChallenges } from '../../src/proxy/challenges.ts';

/** As `scheme name=value …`, for rows that are read at a glance. */
const brief = (...lines: string[]) =>
  readChallenges(lines)?.map(({ scheme, parameters }) =>
    [scheme, ...parameters.map(([name, value]) => `${name}=${value}`)].join(' '),
  );

describe('src/proxy/challenges.ts', () => {
  it.each<[string[], string[] | undefined]>([
    [[], []],
    [[''], []],
    [[' , ,\t'], []],
    [['Bearer'], ['bearer']],
    [['BEARER error="invalid_token"'], ['bearer error=invalid_token']],
    [['Basic realm="x, Bearer y"'], ['basic realm=x, Bearer y']],
    [['Basic realm="x\\", Bearer error=\\"invalid_token"'], ['basic realm=x", Bearer error="invalid_token']],
    [['Basic realm="\\\\", Bearer'], ['basic realm=\\', 'bearer']],
    [['Basic realm="x", Bearer realm="y"'], ['basic realm=x', 'bearer realm=y']],
    [
      ['Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"'],
      ['newauth realm=apps type=1 title=Login to "apps"', 'basic realm=simple'],
    ],
    [['Negotiate YII=, Bearer'], ['negotiate', 'bearer']],
    [['Negotiate Bearer'], ['negotiate']],
    [['Negotiate a+/-._~9=='], ['negotiate']],
    [['Negotiate, Bearer, Basic'], ['negotiate', 'bearer', 'basic']],
    [['Bearer realm \t=\t "x" \t,\terror =invalid_token '], ['bearer realm=x error=invalid_token']],
    [['Bearer\trealm=x'], ['bearer realm=x']],
    [['Bearer , realm=x,, error=y,'], ['bearer realm=x error=y']],
    [['Bearer realm="x"', 'error="insufficient_scope"'], ['bearer realm=x error=insufficient_scope']],
    [
      ['Basic', 'Bearer'],
      ['basic', 'bearer'],
    ],
    [['Bearer realm="é\u00ff"'], ['bearer realm=é\u00ff']],
    [['Bearer-Not realm=x'], ['bearer-not realm=x']],
    [['DPoP error="invalid_token", algs="ES256"'], ['dpop error=invalid_token algs=ES256']],
    [['Basic realm="x'], undefined],
    [['Basic realm="x', 'Bearer error="invalid_token"'], undefined],
    [['Basic realm="x" error="y"'], undefined],
    [['Basic realm=x y, Bearer'], undefined],
    [['realm=x, Bearer'], undefined],
    [['Bearer realm="x\u0001"'], undefined],
    [['Bearer realm=\u00e9'], undefined],
    [['Bearer: realm=x'], undefined],
    [['Bearer a b'], undefined],
    [['Bearer realm=x, y='], undefined],
    [['"Bearer"'], undefined],
  ])('reads %j as %j', (lines, expected) => expect(brief(...lines)).toEqual(expected));

  const token = fc.string({ unit: fc.constantFrom(..."abzAZ09!#$%&'*+.^_`|~-"), minLength: 1, maxLength: 8 });
  const text = fc.string({ unit: fc.constantFrom(...'ab ,="\\Bearer\t\u00e9'), maxLength: 12 });
  const space = fc.constantFrom('', ' ', '\t', '  ');
  const parameter = fc.tuple(token, text, space, space).map(([name, value, before, behind]) => {
    const quoted = `"${value.replaceAll(/["\\]/g, '\\$&')}"`;
    return { sent: `${name}${before}=${behind}${quoted}`, meant: [name.toLowerCase(), value] as const };
  });
  const separator = fc.constantFrom(',', ', ', ' ,\t', ',,', ' , , ');
  const challenge = fc
    .tuple(token, fc.array(parameter, { maxLength: 3 }), separator)
    .map(([scheme, list, between]) => ({
      sent: [scheme, list.map(({ sent }) => sent).join(between)].filter((part) => part !== '').join(' '),
      meant: { scheme: scheme.toLowerCase(), parameters: list.map(({ meant }) => meant) } satisfies Challenge,
    }));

  it('finds exactly the challenges that were written, however they are spaced and spread over lines', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(challenge, separator, fc.boolean()), { maxLength: 4 }), (list) => {
        const lines = [''];
        for (const [{ sent }, between, onNewLine] of list) {
          if (onNewLine) lines.push(sent);
          else lines[lines.length - 1] += (lines.at(-1) === '' ? '' : between) + sent;
        }
        expect(readChallenges(lines)).toEqual(list.map(([{ meant }]) => meant));
      }),
      { numRuns: 300 },
    );
  });

  it('never takes a word of a string for a scheme', () => {
    fc.assert(
      fc.property(text, (realm) => {
        const escaped = realm.replaceAll(/["\\]/g, '\\$&');
        expect(brief(`Basic realm="${escaped}, Bearer error=\\"invalid_token\\""`)).toHaveLength(1);
      }),
      { numRuns: 200 },
    );
  });

  it('reads anything without failing, and what is long in no more than its length', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (line) => void readChallenges([line])),
      { numRuns: 300 },
    );
    // With the square of it the test would not end in its time.
    for (const piece of ['a', ' ', ',', '=', '"', '\\', 'a=', 'a ', '"a",', 'Bearer a="b",', 'a ='])
      readChallenges([piece.repeat(100_000), `Bearer a="${piece.repeat(100_000)}`]);
  });
});
