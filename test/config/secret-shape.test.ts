// What a secret looks like when more than the secret was put there, and that no usual secret looks like any of it.
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { shapeOf } from '../../src/config/secret-shape.ts';
import { randomSecret } from '../../src/core/secret.ts';
import { createFolder, load, problemsOf } from '../support/folder.ts';

const ENV = { ARITMA_ENVIRONMENT: 'emulator', ARITMA_CLIENT_ID: 'my-erp' };

/** What is said of a client secret's file: a warning where it can be sent, a problem where it cannot. */
function saidOf(content: string | Buffer): string {
  using folder = createFolder();
  const env = { ...ENV, ARITMA_CLIENT_SECRET_FILE: folder.write('secret', content) };
  try {
    return load(folder, { env })
      .warnings.filter((warning) => warning.startsWith('the secret of '))
      .join();
  } catch {
    return problemsOf(folder, { env })
      .map(({ message }) => message)
      .join();
  }
}

describe('config/secret-shape', () => {
  it.each([
    ['a blank behind it, as cmd.exe leaves one', 'CANARY-x1 \r\n', /ends with a space/],
    ['a blank in front', ' CANARY-x1', /begins or ends with a space/],
    ['a tab behind it', 'CANARY-x1\t\n', /space|ASCII/],
    ['double quotes', '"CANARY-x1"\n', /quotes/],
    ['single quotes', "'CANARY-x1'", /quotes/],
    ['quotes of a word processor', '“CANARY-x1”', /quotes/],
    ['a variable', 'ARITMA_CLIENT_SECRET=CANARY-x1\n', /NAME=value/],
    ['an exported variable', 'export SECRET=CANARY-x1', /NAME=value/],
    ['a variable of PowerShell', '$env:SECRET = "CANARY-x1"', /NAME=value/],
    ['a property', 'clientSecret=CANARY-x1', /NAME=value/],
    ['JSON', '{"client_secret":"CANARY-x1"}', /JSON/],
    ['JSON in lines', '{\n  "client_secret": "CANARY-x1"\n}\n', /JSON/],
    ['YAML', 'client_secret: CANARY-x1\n', /YAML/],
    ['YAML in lines', '---\nsecret: CANARY-x1\nid: 2\n', /YAML/],
    ['YAML below a comment', '# of Aritma\nclient_secret: CANARY-x1\n', /YAML/],
    ['YAML with a name above', 'default:\n  secret: CANARY-x1\n', /YAML/],
    ['a list of YAML', '- secret: CANARY-x1\n', /YAML/],
    ['a name with hyphens', 'client-secret=CANARY-x1', /NAME=value/],
    ['XML', '<add key="ClientSecret" value="CANARY-x1"/>', /XML/],
    ['XML in lines', '<secret>\n  CANARY-x1\n</secret>\n', /XML/],
    ['a token', 'eyJhbGciOiJub25lIn0.eyJDQU5BUlkiOiJ4MSJ9.x', /JWT/],
    ['its name in AWS', 'arn:aws:secretsmanager:eu-north-1:1:secret:CANARY-x1', /in a store/],
    ['its name in Azure', '@Microsoft.KeyVault(SecretUri=https://CANARY-x1)', /in a store/],
    ['the encryption of PowerShell', '01000000d08c9ddf0115d1118c7a00c04fc297eb01000000', /PowerShell/],
    ['base64', `${Buffer.from('CANARY-x1-CANARY').toString('base64')}\n`, /base64/],
    ['base64 of a line', Buffer.from('CANARY-x1-y\n').toString('base64'), /base64/],
    ['percent-encoding', 'CANARY%2Fx1', /percent-encoded/],
    ['several lines', 'CANARY-x1\nCANARY-x2\n', /several lines/],
    ['UTF-16 of PowerShell', Buffer.from('\uFEFFCANARY-x1\r\n', 'utf16le'), /UTF-16/],
    ['UTF-16 the other way round', Buffer.from('\uFEFFCANARY-x1\r\n', 'utf16le').swap16(), /UTF-16/],
    ['PEM', '-----BEGIN PRIVATE KEY-----\nCANARY\n-----END PRIVATE KEY-----\n', /PEM/],
    ['a placeholder', `\${CANARY}`, /placeholder/],
    ['a placeholder of a document', '<CANARY>', /placeholder/],
    ['the name of a file', '/run/secrets/CANARY', /is a file name/],
    ['the name of a file on Windows', 'C:\\secrets\\CANARY.txt', /is a file name/],
    ['a header', 'Basic CANARY-x1', /Authorization/],
  ])('says that a secret has %s, and nothing of it', (_what, content, says) => {
    const said = saidOf(content);
    expect(said).toMatch(says);
    expect(said).not.toMatch(/CANARY|x1/);
  });

  it('says nothing of secrets as they are made', () => {
    const made = Array.from({ length: 2000 }, () => [
      randomSecret().reveal(),
      randomBytes(24).toString('base64'),
      randomBytes(16).toString('hex'),
      randomBytes(12).toString('base64'),
    ]).flat();
    // One in a hundred thousand or so of the shortest is text by chance.
    expect(made.filter((secret) => shapeOf(secret) !== undefined).length).toBeLessThanOrEqual(2);
    for (const secret of [
      'correct horse battery staple',
      'abc=',
      'x=y',
      'a:b',
      'Pa$$w0rd!',
      '#{x}',
      'bank+/=',
      'it’s'.slice(0, 2),
    ])
      expect(shapeOf(secret)).toBeUndefined();
  });

  it('is said of callers’ keys, too, and once more when a reload brings it', () => {
    using folder = createFolder();
    const secret = folder.write('secret', 'plain-secret-4711');
    const key = folder.write('key', '"0123456789abcdef"');
    const yaml = JSON.stringify({ callers: { keys: { erp: [{ file: key }] } } });
    const loaded = load(folder, { yaml, env: { ...ENV, ARITMA_CLIENT_SECRET_FILE: secret } });
    expect(loaded.warnings.join()).toMatch(/the secret of callers\.keys\.erp\.0 has quotes/);
    folder.write('secret', 'plain-secret-4711 ');
    expect(loaded.reload().warnings.join()).toMatch(/credentials\.default\.secrets\.0 begins or ends with a space/);
  });
});
