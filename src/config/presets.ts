/**
 * The presets of `environment: dev|prod|emulator`: ordinary configuration below the file, so a file can override every
 * value. The hosts are those Aritma publishes, on zdata.io and aritma.io; only this file names them.
 */
import type { z } from 'zod';
import type { ConfigSchema } from './schema.ts';

type Environment = NonNullable<z.input<typeof ConfigSchema>['environment']>;

interface Preset {
  readonly credentials?: { readonly default: { readonly tokenEndpoint: string; readonly scope: string } };
  readonly iam?: { readonly url: string };
  readonly routes?: readonly { readonly path: string; readonly upstream: string }[];
}

export const PRESETS: Readonly<Record<Environment, Preset>> = {
  dev: {
    ...preset('https://id.dev.aritma.io', 'https://banking.dev.zdata.io/api', 'https://events.dev.aritma.io'),
    iam: { url: 'https://api.dev.aritma.io/core/iam' },
  },
  // The URL of the production IAM is not published: users set `iam.url`.
  prod: preset('https://id.aritma.io', 'https://banking.zdata.io/api', 'https://events.aritma.io'),
  emulator: emulatorPreset('http://127.0.0.1:7100'),
  none: {},
};

/** Returns the preset for a local Aritma at another address than the default. */
export function emulatorPreset(origin: string): Preset {
  return { ...preset(origin, `${origin}/banking/api`, `${origin}/events`), iam: { url: `${origin}/core/iam` } };
}

function preset(identity: string, banking: string, events: string): Preset {
  return {
    credentials: { default: { tokenEndpoint: `${identity}/connect/token`, scope: 'api' } },
    routes: [
      { path: '/banking', upstream: banking },
      { path: '/events', upstream: events },
    ],
  };
}
