// Whatever an operator writes, and wherever a secret slips in, loading ends well or in a list of problems without it.
// `npm test` plays a third of what is generated: share.ts.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { SidecarError } from '../../src/core/errors.ts';
import { COMPLETE_ENV, createFolder, type Folder, type Inputs, load } from '../support/folder.ts';
import { runsOf } from '../support/share.ts';

const CANARY = 'CANARY-s3cr3t';

/** Lets the file's own secrets count. */
const NO_SECRET = { ARITMA_CLIENT_SECRET: '' };

const PLACES: Readonly<Record<string, Inputs>> = {
  'the value of an unknown option': { yaml: `clientSecret: ${CANARY}` },
  'the value of a nested unknown option': { yaml: `credentials: { default: { client_secret: ${CANARY} } }` },
  'an unknown source of a secret': {
    env: NO_SECRET,
    yaml: `credentials: { default: { secrets: [{ value: ${CANARY} }] } }`,
  },
  'a secret without file or env': { env: NO_SECRET, yaml: `credentials: { default: { secrets: [${CANARY}] } }` },
  'secrets that are no list': { env: NO_SECRET, yaml: `credentials: { default: { secrets: ${CANARY} } }` },
  'a key and a value in one': {
    env: NO_SECRET,
    yaml: `credentials: { default: { secrets: [{ file: x, env: ${CANARY} }] } }`,
  },
  'the name of a variable': { env: NO_SECRET, yaml: 'credentials: { default: { secrets: [{ env: CANARY_s3cr3t }] } }' },
  'the name of a file': { env: NO_SECRET, yaml: `credentials: { default: { secrets: [{ file: ${CANARY} }] } }` },
  'the password of a URL': { yaml: `routes: [{ path: /a, upstream: "https://me:${CANARY}@host/" }]` },
  'the query of a URL': { yaml: `credentials: { default: { tokenEndpoint: "https://host/?key=${CANARY}" } }` },
  'a number’s place': { yaml: `limits: { upstreamConnections: ${CANARY} }` },
  'a duration’s place': { yaml: `timeouts: { connect: ${CANARY} }` },
  'an address’s place': { yaml: `listen: ${CANARY}` },
  'a choice’s place': { yaml: `startup: ${CANARY}` },
  'an allow-list': { yaml: `routes: [{ path: /a, upstream: "https://a.example", allow: ["${CANARY}"] }]` },
  'the name of a route’s credential': {
    yaml: `routes: [{ path: /a, upstream: "https://a.example", credential: ${CANARY} }]`,
  },
  'a YAML syntax error': { yaml: `clientSecret: "${CANARY}\nlisten: [` },
  'a nested mapping on one line': { yaml: `clientSecret: ${CANARY}: x` },
  'a tab in front': { yaml: `credentials:\n\tsecret: ${CANARY}` },
  'an alias nobody defined': { yaml: `clientSecret: *${CANARY}` },
  'a tag': { yaml: `clientSecret: !${CANARY} x: y: z` },
  'a duplicate key': { yaml: `a: ${CANARY}\na: ${CANARY}` },
  'a list in place of the whole': { yaml: `- ${CANARY}` },
  'text in place of the whole': { yaml: CANARY },
  'a variable for a URL': { env: { ARITMA_TOKEN_ENDPOINT: `https://x:${CANARY}@host/` } },
  'a variable for a file': { env: { ARITMA_CLIENT_SECRET: '', ARITMA_CLIENT_SECRET_FILE: CANARY } },
  'a variable twice': { env: { ARITMA_CLIENT_SECRET: CANARY, ARITMA_CLIENT_SECRET_FILE: CANARY } },
  'a secret with a line break': { env: { ARITMA_CLIENT_SECRET: `${CANARY}\n${CANARY}` } },
  'a variable for a scope': { env: { ARITMA_SCOPE: `${CANARY}  x` } },
  'a flag': { flags: { '--listen': CANARY } },
};

/** Everything that loading says about these inputs, or `accepted`. */
function outcome(folder: Folder, { yaml, env, flags }: Inputs): string {
  try {
    load(folder, { yaml, env: { ...COMPLETE_ENV, ...env }, flags } as Inputs);
    return 'accepted';
  } catch (error) {
    if (!(error instanceof SidecarError)) throw error;
    return JSON.stringify([error.message, error.stack, error.extras.problems, error.extras.fields]);
  }
}

describe('config/load', () => {
  it.each(Object.entries(PLACES))('shows no secret that was written as %s', (_place, inputs) => {
    using folder = createFolder();
    const said = outcome(folder, inputs);
    expect(said).not.toBe('accepted');
    expect(said).not.toMatch(/CANARY|s3cr3t/);
  });

  it('accepts any document or refuses it with problems, and does nothing else', () => {
    using folder = createFolder();
    const name = fc.oneof(
      fc.constantFrom(
        'environment',
        'listen',
        'credentials',
        'default',
        'secrets',
        'routes',
        'path',
        'upstream',
        'drain',
      ),
      fc.constantFrom(
        '__proto__',
        'constructor',
        'toString',
        '0',
        '',
        'file',
        'env',
        'tokenEndpoint',
        'admin',
        'allow',
      ),
    );
    const { document } = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.constantFrom('dev', '/banking', null, true, 0),
        fc.string(),
        tie('list'),
        tie('document'),
      ),
      list: fc.array(tie('value'), { maxLength: 3 }),
      document: fc.dictionary(name, tie('value'), { maxKeys: 5, noNullPrototype: true }),
    }));
    fc.assert(
      fc.property(fc.oneof(document, fc.jsonValue()), fc.boolean(), (value, asJson) => {
        refusedWell(folder, asJson ? JSON.stringify(value) : stringify(value));
      }),
      // Cannot even be turned into text.
      { numRuns: runsOf(400), examples: [[{ credentials: [{ path: { toString: 'dev' } }] }, false]] },
    );
  });

  it('accepts any text or refuses it with problems, and does nothing else', () => {
    using folder = createFolder();
    const piece = fc.constantFrom(
      'a',
      ': ',
      '\n',
      ' ',
      '- ',
      '[',
      ']',
      '{',
      '}',
      '&a ',
      '*a',
      '"',
      "'",
      '|',
      '>',
      '#',
      '!t ',
      '---',
      '%',
      '?',
      ',',
      '<<',
      '\t',
      '\0',
    );
    const yaml = fc.array(piece, { maxLength: 25 }).map((pieces) => pieces.join(''));
    fc.assert(
      fc.property(fc.oneof(yaml, fc.string({ unit: 'binary' })), (text) => refusedWell(folder, text)),
      { numRuns: runsOf(400) },
    );
  });
});

function refusedWell(folder: Folder, yaml: string): void {
  try {
    load(folder, { yaml, env: COMPLETE_ENV });
  } catch (error) {
    expect(error).toBeInstanceOf(SidecarError);
    if (!(error instanceof SidecarError)) return;
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.extras.problems?.length).toBeGreaterThan(0);
    for (const problem of error.extras.problems ?? []) expect(problem.where && problem.message).toBeTruthy();
  }
}
