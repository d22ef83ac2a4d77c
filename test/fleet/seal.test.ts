// What goes into the store can be read only with the key, and only at the place that it was sealed for.
import { randomBytes } from 'node:crypto';
import { CompactEncrypt } from 'jose/jwe/compact/encrypt';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.ts';
import { createSealer } from '../../src/fleet/seal.ts';

const newKey = () => new Secret(randomBytes(32).toString('base64url'));
const CONTENT = { authorization: 'Bearer planted-token', lifetimeS: 3600 };

const bytesOf = (part: string) => Buffer.from(part, 'base64url').toString('hex');

async function createWorld() {
  const key = newKey();
  const sealer = createSealer([key]);
  const place = { name: sealer.name(['token', 'planted-client', 'planted-scope']), generation: '7' };
  return { key, sealer, place, sealed: await sealer.seal(place, CONTENT) };
}

describe('a sealed value', () => {
  it('opens at its place, and shows neither content nor name parts', async () => {
    const { sealer, place, sealed } = await createWorld();
    expect(await sealer.open(place, sealed)).toEqual({ content: CONTENT });
    const shown = sealed.split('.').map((part) => Buffer.from(part, 'base64url').toString('latin1'));
    expect([place.name, sealed, ...shown].join(' ')).not.toMatch(/planted/);
  });

  it('is refused under another name, at another generation, and when one character has changed', async () => {
    const { sealer, place, sealed } = await createWorld();
    expect(await sealer.open({ ...place, name: sealer.name(['other']) }, sealed)).toBe('name');
    expect(await sealer.open({ ...place, generation: '8' }, sealed)).toBe('generation');
    for (let at = 0; at < sealed.length; at += 7) {
      const changed = sealed.slice(0, at) + (sealed[at] === 'A' ? 'B' : 'A') + sealed.slice(at + 1);
      // The last character of a part has bits that mean nothing.
      const isSame = changed
        .split('.')
        .every((part, index) => bytesOf(part) === bytesOf(sealed.split('.')[index] ?? ''));
      if (!isSame) expect(typeof (await sealer.open(place, changed)), `changed at ${at}`).toBe('string');
    }
  });

  it('is refused without its key, whatever key id it names', async () => {
    const { sealer, place, sealed } = await createWorld();
    const other = createSealer([newKey()]);
    expect(await other.open(place, sealed)).toBe('key');
    const forged = await new CompactEncrypt(Buffer.from(JSON.stringify(CONTENT)))
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', kid: sealer.keyId, entry: place.name, generation: '7' })
      .encrypt(randomBytes(32));
    expect(await sealer.open(place, forged)).toBe('key');
  });

  it('is refused with another algorithm, although the key fits', async () => {
    const { key, sealer, place } = await createWorld();
    const bytes = Buffer.from(key.reveal(), 'base64url');
    for (const header of [
      { alg: 'A256GCMKW', enc: 'A256GCM' },
      { alg: 'dir', enc: 'A128CBC-HS256' },
    ]) {
      const sealed = await new CompactEncrypt(Buffer.from('{}'))
        .setProtectedHeader({ ...header, kid: sealer.keyId, entry: place.name, generation: '7' })
        .encrypt(bytes);
      expect(await sealer.open(place, sealed)).toBe('format');
    }
  });

  it('is refused when it holds no object', async () => {
    const { key, sealer, place } = await createWorld();
    for (const text of ['', 'null', '[]', '7', '{"a":']) {
      const sealed = await new CompactEncrypt(Buffer.from(text))
        .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', kid: sealer.keyId, entry: place.name, generation: '7' })
        .encrypt(Buffer.from(key.reveal(), 'base64url'));
      expect(await sealer.open(place, sealed)).toBe('content');
    }
  });
});

describe('two keys', () => {
  it('both open; the first one seals and names', async () => {
    const { key, sealer, place, sealed } = await createWorld();
    const next = newKey();
    const both = createSealer([next, key]);
    expect(await both.open(place, sealed)).toEqual({ content: CONTENT });
    const again = await both.seal(place, CONTENT);
    expect(await createSealer([next]).open(place, again)).toEqual({ content: CONTENT });
    expect(await sealer.open(place, again)).toBe('key');
    expect(both.name(['x'])).toBe(createSealer([next]).name(['x']));
    expect(both.name(['x'])).not.toBe(sealer.name(['x']));
  });
});
