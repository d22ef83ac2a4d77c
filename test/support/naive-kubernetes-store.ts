/**
 * The control: a store in a Kubernetes Secret as written in an afternoon. Reads the object, changes it, writes it back;
 * uses an annotation as a lock; trusts the network.
 */
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { Secret } from '../../src/core/secret.ts';
import type { KubernetesStoreOptions } from '../../src/iam/rotation/kubernetes-store.ts';
import type { SecretStore } from '../../src/iam/rotation/store.ts';

interface Stored {
  metadata: { annotations?: Record<string, string>; resourceVersion?: string };
  data?: Record<string, string>;
}

const LOCK = 'example.org/rotating';

export function createNaiveStore(options: KubernetesStoreOptions): SecretStore {
  const { secret, key, apiServer, pod, serviceAccountDir = '' } = options;
  const token = readFileSync(join(serviceAccountDir, 'token'), 'utf8').trim();
  const namespace = readFileSync(join(serviceAccountDir, 'namespace'), 'utf8').trim();
  const url = `${apiServer}/api/v1/namespaces/${namespace}/secrets/${secret}`;

  function send(method: string, target: string, body?: unknown): Promise<Stored> {
    const { promise, resolve, reject } = Promise.withResolvers<Stored>();
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const req = request(target, { method, headers, rejectUnauthorized: false, agent: false }, (res) => {
      const { location } = res.headers;
      if (location !== undefined) {
        resolve(send(method, location, body));
        return;
      }
      let text = '';
      res.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      res.on('end', () =>
        res.statusCode === 200
          ? resolve(JSON.parse(text) as Stored)
          : reject(new Error(`${method} ${target}: ${text}`)),
      );
    });
    req.on('error', reject);
    req.end(body === undefined ? undefined : JSON.stringify(body));
    return promise;
  }

  async function change(edit: (object: Stored) => void): Promise<void> {
    const object = await send('GET', url);
    delete object.metadata.resourceVersion;
    edit(object);
    await send('PUT', url, object);
  }

  const read = async (name: string) => {
    const value = (await send('GET', url)).data?.[name];
    return value === undefined ? undefined : Buffer.from(value, 'base64').toString();
  };
  const write = (name: string, text: string) =>
    change((object) => {
      object.data = { ...object.data, [name]: Buffer.from(text).toString('base64') };
    });

  return {
    name: 'naive',
    isOwn: false,
    peek: () => read(`${key}.rotation`),
    async open() {
      await change(({ metadata }) => {
        const holder = metadata.annotations?.[LOCK];
        if (holder !== undefined) throw new Error(`locked by ${holder}`);
        metadata.annotations = { ...metadata.annotations, [LOCK]: pod };
      });
      return {
        readSecret: async () => {
          const value = await read(key);
          return value === undefined ? undefined : new Secret(value);
        },
        writeSecret: (value) => write(key, value.reveal()),
        readJournal: () => read(`${key}.rotation`),
        writeJournal: (text) => write(`${key}.rotation`, text),
        close: () =>
          change(({ metadata }) => {
            delete metadata.annotations?.[LOCK];
          }).catch(() => undefined),
      };
    },
  };
}
