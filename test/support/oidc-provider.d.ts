/** The part of `oidc-provider` that the tests use; the package has no types of its own. */
declare module 'oidc-provider' {
  import type { RequestListener } from 'node:http';

  export interface ResourceServer {
    readonly scope: string;
    readonly audience?: string;
    readonly accessTokenFormat: 'jwt' | 'opaque';
    readonly accessTokenTTL?: number;
    readonly jwt?: { readonly sign: { readonly alg: string } };
  }

  export default class Provider {
    constructor(issuer: string, configuration: Readonly<Record<string, unknown>>);
    callback(): RequestListener;
  }
}
