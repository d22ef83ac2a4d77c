/** Mistakes in what is believed of an issuer. */
import type { Mistake } from './mistakes.ts';

const CREDENTIAL = 'oauth/credential.ts';

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
  'new-key-not-fetched': {
    file: 'oauth/token-verifier.ts',
    from: "if (refusal !== 'no key' || first.asked)",
    to: 'if (refusal !== undefined || first.asked)',
  },
};
