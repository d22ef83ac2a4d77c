/** Which further parts a world has: drawn from the seed by a sequence of its own, so that a new part changes no other history. */
import { type Chance, chance } from '../../support/seeded.ts';

/** Durations as in a configuration file. */
export interface IamPart {
  readonly every: string;
  readonly secretLifetime: string;
  readonly overlap: string;
  readonly verifyFor: string;
  /** Until the identity server knows of a new or deleted secret. */
  readonly propagationMs: number;
  /** Whether a creation is responded to with what was created. */
  readonly body: 'whole' | 'empty';
  /** Whether a second client is made by provisioning. */
  readonly isProvisioning: boolean;
}

export interface AuditPart {
  readonly fsync: 'always' | 'second' | 'never';
  readonly whenFailing: 'report' | 'refuse';
  readonly maxSize: string;
}

/** The sidecar finds the token endpoint by an issuer's discovery document. */
export interface IssuerPart {
  /** And verifies tokens with the issuer's keys. */
  readonly isVerifying: boolean;
}

export interface MonthEndPart {
  /** Payments of one moment, every few minutes of those hours. */
  readonly atOnce: number;
}

export interface Parts {
  readonly monthEnd?: MonthEndPart;
  readonly issuer?: IssuerPart;
  readonly audit?: AuditPart;
  readonly iam?: IamPart;
  /** Requests per minute of all members of a fleet. */
  readonly budget?: number;
}

/** How many fleets rotate their secret. */
const SHARE_OF_FLEETS = 0.3;
/** How many of the others have a budget. */
const SHARE_WITH_BUDGET = 0.25;
const SHARE_WITH_IAM = 0.3;
const SHARE_WITH_AUDIT = 0.25;

export function drawParts(seed: number): Parts {
  const draw = chance(seed, 'parts');
  const iam = draw.happens(SHARE_WITH_IAM) ? { iam: drawIam(draw) } : {};
  return { ...iam, ...drawAudit(chance(seed, 'audit')) };
}

/** Of a fleet. */
export function drawFleetParts(seed: number): Parts {
  return { ...drawFleetIam(chance(seed, 'rotating fleet')), ...drawBudget(chance(seed, 'budget of a fleet')) };
}

function drawBudget(draw: Chance): Pick<Parts, 'budget'> {
  return draw.happens(SHARE_WITH_BUDGET) ? { budget: draw.pick([20, 30, 60]) } : {};
}

function drawFleetIam(draw: Chance): Pick<Parts, 'iam'> {
  if (!draw.happens(SHARE_OF_FLEETS)) return {};
  const short = { overlap: draw.pick(['5s', '30s', '2m']), verifyFor: draw.pick(['20s', '2m']) };
  const propagationMs = draw.pick([0, 0, 800, 5000]);
  const secretLifetime = draw.pick(['400d', '3650d']);
  return { iam: { ...drawIam(draw), ...short, propagationMs, secretLifetime, isProvisioning: false } };
}

function drawAudit(draw: Chance): Pick<Parts, 'audit'> {
  if (!draw.happens(SHARE_WITH_AUDIT)) return {};
  const fsync = draw.pick(['always', 'always', 'second', 'never'] as const);
  const [whenFailing, maxSize] = [draw.pick(['report', 'refuse'] as const), draw.pick(['4KiB', '1MiB'])];
  return { audit: { fsync, whenFailing, maxSize } };
}

function drawIam(draw: Chance): IamPart {
  const propagationMs = draw.pick([0, 0, 800, 5000, 60_000]);
  return {
    every: draw.pick(['6h', '1d', '20d', '60d']),
    secretLifetime: draw.pick(['90d', '400d', '3650d']),
    overlap: draw.pick(['5s', '30s', '3m', '1h']),
    verifyFor: draw.pick(propagationMs < 10_000 ? ['20s', '2m', '15m'] : ['2m', '15m']),
    propagationMs,
    body: draw.pick(['whole', 'empty']),
    isProvisioning: draw.happens(0.5),
  };
}
