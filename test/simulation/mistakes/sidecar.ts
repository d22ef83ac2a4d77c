/** In starting, reloading and reading files. */
import type { Mistake } from './mistakes.ts';

const GENERATION = 'sidecar/generation.ts';

export const SIDECAR_MISTAKES: Readonly<Record<string, Mistake>> = {
  'unasked-lost-beside-accepted': {
    file: 'oauth/credentials.ts',
    from: 'untried: untried?.slice(0, accepted ? MOST_OLDER - 1 : MOST_OLDER),',
    to: 'untried: accepted ? [] : untried?.slice(0, MOST_OLDER),',
  },
  'token-lost-at-reload': {
    file: GENERATION,
    from: '    seedFor: (key) => previous && inherited(key, loaded, previous),\n',
    to: '',
  },
  'working-secret-lost-at-reload': {
    file: GENERATION,
    from: 'previous && isSameClient(name, loaded, previous.loaded)\n',
    to: 'previous && previous === undefined\n',
  },
  'old-generation-destroyed': {
    file: 'sidecar/generations.ts',
    from: 'return previous.retire().finally(',
    to: 'return previous.destroy().finally(',
  },
  'old-generation-goes-on': {
    file: GENERATION,
    from: "      tokens.close('close');\n",
    to: '',
  },
  'old-generation-without-identity': {
    file: GENERATION,
    from: '      await Promise.allSettled(uses);\n',
    to: '',
  },
  'stop-cuts-calls': {
    file: 'sidecar/sidecar.ts',
    from: 'plane.drain().then(() => true),',
    to: 'plane.drain() && Promise.resolve(true),',
  },
  'secret-change-unseen': {
    file: 'sidecar/reload.ts',
    from: 'of [...secrets.values()].flat())',
    to: 'of [...secrets.values()].flat().slice(1))',
  },
  'half-file-read': {
    file: 'config/watch.ts',
    from: 'is !== known.get(file) && is === candidate.get(file)',
    to: 'is !== known.get(file)',
  },
  'change-at-start-missed': {
    file: 'config/watch.ts',
    from: 'let known: ReadonlyMap<string, string> = new Map(files());',
    to: 'let known: ReadonlyMap<string, string> = looks(files());',
  },
  'file-events-not-ended': {
    file: 'config/watch.ts',
    from: '        unsubscribe();\n        stopLooking();',
    to: '        stopLooking();',
  },
};
