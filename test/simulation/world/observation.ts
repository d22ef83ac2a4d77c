/** What the world sees happen, for the invariants. Everything is told in the order in which it happens. */
import type { Stamp } from '../platform/network.ts';
import type { Machine, SimulatedProcess } from '../platform/process.ts';
import type { StoredSecret } from './iam/iam-server.ts';
import type { IssuerRequest } from './issuer.ts';
import type { SidecarHost } from './sidecar-host.ts';

/** A token as its server knows it. */
export interface IssuedToken {
  readonly value: string;
  readonly to: SimulatedProcess;
  /** When its request was sent, by the clocks of the sidecar's machine. */
  readonly asked: Stamp;
  /** The same moment, nearly, by the clocks of other hosts. */
  readonly askedBy: ReadonlyMap<Machine, Stamp>;
  readonly issuedAt: number;
  readonly lifetimeMs: number;
  /** Whose token it is. */
  readonly client: string;
  readonly scope: string;
  revokedAt: number;
  /** A call was sent with it: a rotation verifies secrets with tokens that no call gets. */
  isUsed: boolean;
  /** Not rightly signed, or for somebody else. */
  readonly isForged?: boolean;
  /** When its process got it, true ms; Infinity before. */
  obtainedAt: number;
}

export interface TokenRequest {
  readonly from: SimulatedProcess;
  readonly sent: Stamp;
  /** The client secret in it. */
  readonly secret: string;
  readonly scope: string;
  /** Its connection was there before: its sender began it at the moment it was sent. */
  readonly isPrompt: boolean;
  /** When it was over for its sender, true ms; Infinity while it is under way. */
  endedAt(): number;
  /** What the sender knows of it. */
  outcome: 'token' | 'invalid_client' | 'invalid_scope' | 'failed' | undefined;
  /** What the server asked for, if the sender has got it. */
  retryAfterS: number;
}

export interface UpstreamRequest {
  readonly id: string;
  /** As the sidecar names it. */
  readonly requestId: string;
  /** Its body is all that the caller sent. */
  readonly isWhole: boolean;
  /** How often the caller has sent it, from 1. */
  readonly attempt: string;
  readonly from: SimulatedProcess | undefined;
  readonly sent: Stamp;
  /** When the caller sent it to the sidecar. */
  readonly called: Stamp;
  /** Undefined when there was no bearer token at all. */
  readonly authorization: string | undefined;
  readonly token: IssuedToken | undefined;
}

/** What a caller was told. */
export interface Told {
  readonly id: string;
  readonly attempt: number;
  /** As the sidecar names it; empty without a response. */
  readonly requestId: string;
  /** Undefined when there was no response. */
  readonly status: number | undefined;
  /** Of the sidecar's own errors. */
  readonly code: string | undefined;
  /** In the body of such an error: what exactly went wrong. */
  readonly cause: string | undefined;
  readonly mayHaveExecuted: boolean | undefined;
  /** Undefined without `Retry-After`. */
  readonly retryAfterS: number | undefined;
  readonly sidecar: SimulatedProcess | undefined;
  /** Of the caller and its sidecar. */
  readonly machine: Machine;
}

export type Observation =
  /** @property known ids of the secrets that its creator has been told of */
  | { readonly kind: 'secretCreated'; readonly secret: StoredSecret; readonly known: ReadonlySet<string> }
  | { readonly kind: 'secretDeleted'; readonly secret: StoredSecret; readonly by: SimulatedProcess | undefined }
  | { readonly kind: 'storedByHand'; readonly value: string }
  /** Everything has worked for so long that no rotation is late any more. */
  | { readonly kind: 'settled' }
  /** After a last rotation by hand. */
  | { readonly kind: 'rotatedLast'; readonly hasRotated: boolean }
  /** `rotate` tells whoever runs it: a step, or at its end that it has `rotated`. */
  | {
      readonly kind: 'rotateTold';
      readonly by: SimulatedProcess;
      readonly host: SidecarHost;
      readonly step: string;
      readonly expiresAt?: number;
    }
  | { readonly kind: 'provisionedLast'; readonly isDone: boolean }
  /** Where secrets rotate: the identity server's verdict on one. */
  | { readonly kind: 'secretTried'; readonly secret: string; readonly isAccepted: boolean }
  | { readonly kind: 'tokenRequest'; readonly request: TokenRequest }
  | { readonly kind: 'upstreamRequest'; readonly request: UpstreamRequest }
  /** The API responds with a 403. */
  | { readonly kind: 'forbidden'; readonly request: UpstreamRequest }
  /** A 401 has reached the sidecar. */
  | { readonly kind: 'tokenRefused'; readonly request: UpstreamRequest }
  /** An invariant did not hold, for a reason that its sentence names. */
  | { readonly kind: 'excused'; readonly why: string }
  | { readonly kind: 'executed'; readonly request: UpstreamRequest; readonly times: number }
  | { readonly kind: 'told'; readonly told: Told }
  | { readonly kind: 'log'; readonly process: SimulatedProcess; readonly line: Readonly<Record<string, unknown>> }
  | { readonly kind: 'happens'; readonly name: string; readonly args: Readonly<Record<string, number | string>> }
  /** The store has carried out a script. */
  | {
      readonly kind: 'stored';
      readonly script: string;
      readonly by: SimulatedProcess | undefined;
      readonly words: readonly string[];
      readonly reply: unknown;
    }
  /** All tokens were revoked, and every host has sent a call: members have to share what comes. */
  | { readonly kind: 'sharing' }
  | IssuerRequest
  | { readonly kind: 'crash'; readonly error: unknown }
  | { readonly kind: 'repaired' }
  /** From now on everything has to work. */
  | { readonly kind: 'recovered' }
  | { readonly kind: 'stopped'; readonly drained: boolean }
  | { readonly kind: 'end' };
