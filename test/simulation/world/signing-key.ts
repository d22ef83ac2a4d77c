/**
 * ES256 whose keys and signatures are always the same: Node's own are random each time, and a history must not be. Not for use
 * outside of a simulation: it takes no care of what its time shows.
 */
import { createECDH, createHash } from 'node:crypto';

/** Order of P-256 (SEC 2). */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const CURVE = 'prime256v1';

export interface PublicKey {
  readonly kty: 'EC';
  readonly crv: 'P-256';
  readonly alg: 'ES256';
  readonly use: 'sig';
  readonly kid: string;
  readonly x: string;
  readonly y: string;
}

export interface SigningKey {
  readonly kid: string;
  readonly public: PublicKey;
  /** @returns the JWT */
  sign(claims: object): string;
}

const made = new Map<string, SigningKey>();

/** The key of that name, under this id: the same for the same name. */
export function signingKey(name: string, kid: string): SigningKey {
  const place = `${name} ${kid}`;
  const key = made.get(place) ?? makeKey(name, kid);
  made.set(place, key);
  return key;
}

function makeKey(name: string, kid: string): SigningKey {
  const secret = numberOf(`key ${name}`);
  const point = pointOf(secret);
  const coordinates = { x: point.x.toString('base64url'), y: point.y.toString('base64url') };
  const header = encode({ alg: 'ES256', typ: 'at+jwt', kid });
  return {
    kid,
    public: { kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig', kid, ...coordinates },
    sign(claims) {
      const text = `${header}.${encode(claims)}`;
      return `${text}.${signature(text, secret).toString('base64url')}`;
    },
  };
}

function signature(text: string, secret: bigint): Buffer {
  const nonce = numberOf(`nonce ${secret} ${text}`);
  const r = BigInt(`0x${pointOf(nonce).x.toString('hex')}`) % ORDER;
  const hash = BigInt(`0x${createHash('sha256').update(text).digest('hex')}`);
  const s = (inverse(nonce) * ((hash + r * secret) % ORDER)) % ORDER;
  return Buffer.concat([bytesOf(r), bytesOf(s)]);
}

function numberOf(text: string): bigint {
  return BigInt(`0x${createHash('sha256').update(text).digest('hex')}`) % ORDER;
}

function pointOf(scalar: bigint): { x: Buffer; y: Buffer } {
  const ecdh = createECDH(CURVE);
  ecdh.setPrivateKey(bytesOf(scalar));
  const point = ecdh.getPublicKey();
  return { x: point.subarray(1, 33), y: point.subarray(33) };
}

/** Modulo the order, by Euclid. */
function inverse(value: bigint): bigint {
  let [a, b, x, y] = [value, ORDER, 1n, 0n];
  while (b > 0n) [a, b, x, y] = [b, a % b, y, x - (a / b) * y];
  return ((x % ORDER) + ORDER) % ORDER;
}

function bytesOf(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(64, '0'), 'hex');
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
