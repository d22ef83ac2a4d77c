/** Mistakes in what is believed of an issuer. */
import type { Mistake } from './mistakes.ts';

const CREDENTIAL = 'oauth/credential.ts';
const VERIFIER = 'oauth/token-verifier.ts';

export const ISSUER_MISTAKES: Readonly<Record<string, Mistake>> = {
  'unverified-token-used': {
    file: CREDENTIAL,
    from: '    return refusal ?? response;\n',
    to: '    return response;\n',
  },
  'moved-keys-not-found': {
    file: CREDENTIAL,
    from: 'if (blamesEndpoint(refusal ?? response)) options.onUnusable?.();',
    to: 'if (blamesEndpoint(response)) options.onUnusable?.();',
  },
  'moved-endpoint-not-found': {
    file: CREDENTIAL,
    from: 'if (blamesEndpoint(refusal ?? response)) options.onUnusable?.();',
    to: 'if (refusal) options.onUnusable?.();',
  },
  'keys-refetched-without-limit': {
    file: VERIFIER,
    from: "if (!kept || spare < 1) return 'too often';",
    to: "if (!kept) return 'too often';",
  },
  'keys-not-kept': {
    file: VERIFIER,
    from: 'elapsedSince(current.since, clock.now()) < MAX_AGE_MS',
    to: 'elapsedSince(current.since, clock.now()) < MAX_AGE_MS / 1000',
  },
  'document-not-kept': {
    file: 'oauth/discovery.ts',
    from: 'const asked = kept ?? fetchDocument(options);',
    to: 'const asked = fetchDocument(options);',
  },
  'new-key-not-fetched': {
    file: VERIFIER,
    from: "if (refusal !== 'no key' || first.asked)",
    to: 'if (refusal !== undefined || first.asked)',
  },
};
