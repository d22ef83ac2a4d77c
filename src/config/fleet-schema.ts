/** The options of fleet mode: the store that sidecars with the same client share, and the keys that seal what is in it. */
import { z } from 'zod';
import { duration, meta, parsed } from './option.ts';
import { parseAddress } from './parsers.ts';
import { secretSource, tls } from './sources.ts';

export interface StoreAddress {
  readonly host: string;
  readonly port: number;
}

export interface StoreUrl extends StoreAddress {
  readonly secure: boolean;
  readonly user: string | undefined;
  /** Number of the database; 0 = the first. */
  readonly database: number;
}

const STORE_URL =
  /^redis(s?):\/\/(?:([A-Za-z0-9._-]+)@)?(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(\d{1,5}))?(?:\/(\d{1,3})?)?$/;

/** Parses `rediss://user@host:port/database`. A password is refused: it would stand in the configuration file. */
export function parseStoreUrl(text: string): StoreUrl {
  const [, secure, user, host, port = '6379', database = '0'] = STORE_URL.exec(text) ?? [];
  if (host === undefined) {
    const password = /^rediss?:\/\/[^/]*:[^/]*@/.test(text) ? '; put the password into `fleet.password`' : '';
    throw new Error(`must be rediss://user@host:port/database, user and database can be left out${password}`);
  }
  return { ...parseStoreAddress(`${host}:${port}`), secure: secure === 's', user, database: Number(database) };
}

/** Parses `host:port`. */
export function parseStoreAddress(text: string): StoreAddress {
  const address = parseAddress(text);
  if (address.kind === 'unix' || address.port === 0) throw new Error('must be host:port');
  return { host: address.host, port: address.port };
}

const name = z.string().regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without spaces');

const nodes = (description: string) =>
  z
    .array(parsed(parseStoreAddress, meta('`host:port`')))
    .min(1)
    .max(50)
    .meta(meta(description));

export const FleetSchema = z
  .strictObject({
    url: parsed(
      parseStoreUrl,
      meta('Valkey or Redis store; or set `nodes` or `sentinel`', {
        examples: ['rediss://aritma@valkey.example:6379'],
      }),
    ).optional(),
    nodes: nodes('Nodes of a cluster; it names the others').optional(),
    sentinel: z
      .strictObject({
        name: name.meta(meta('Name of the primary, as the sentinels know it')),
        nodes: nodes('Sentinels'),
      })
      .optional(),
    user: name.optional().meta(meta('ACL user, with `nodes` or `sentinel`; with `url` it is part of the URL')),
    password: secretSource.optional().meta(meta('Password of the store')),
    keys: z
      .array(secretSource)
      .min(1)
      .max(5)
      .meta(meta('Keys that seal everything in the store, from `fleet key`; the first one seals, all open')),
    prefix: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,32}$/, 'must be 1 to 32 of A-Z a-z 0-9 _ -')
      .default('aritma')
      .meta(meta('Begin of every name in the store; sidecars with different prefixes share nothing')),
    timeout: duration(
      '250ms',
      'Longest time for one command of the store; a caller without a token waits so much longer',
    ),
    tls,
  })
  .refine(({ url, nodes, sentinel }) => [url, nodes, sentinel].filter((one) => one !== undefined).length === 1, {
    message: 'must have exactly one of: url, nodes, sentinel',
  })
  .refine(({ url, user }) => url === undefined || user === undefined, {
    message: 'is part of url: rediss://user@host',
    path: ['user'],
  })
  .refine(({ url, tls: files }) => url === undefined || url.secure || files === undefined, {
    message: 'needs a URL with rediss://',
    path: ['tls'],
  })
  .optional();
