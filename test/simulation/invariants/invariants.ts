/** What must hold in every history. A new one is an object in a file here, and its name in the table. */
import type { Observation } from '../world/observation.ts';
import type { World } from '../world/world.ts';
import { auditComesFirst, auditIsThereFirst, auditIsWhole } from './audit.ts';
import { asksOnce, keepsNewer, sharesAgain, storeKnowsNothing } from './fleet.ts';
import { budgetHolds, lotEnds } from './fleet-budget.ts';
import { findsKept } from './fleet-memory.ts';
import { endsWithOne, keepsNeeded, overlapsInFleet } from './fleet-rotation.ts';
import { isBounded, neverEnds, recovers } from './health.ts';
import { sendsVerified, takesNewKeys } from './issuer.ts';
import { issuerIsAskedSeldom, keepsIssuerFiles, looksAgain } from './issuer-files.ts';
import { isExecutedOnce, isToldTheTruth } from './payments.ts';
import { provisionsOnce } from './provisioning.ts';
import { oldStillConnects, readsNewest, readsWholeFiles, reloadsUnseen } from './reloads.ts';
import { rotatesOnce, rotatesSeldom } from './rotate-command.ts';
import {
  abandonsOnlyRefused,
  deletesOnlyItsOwn,
  hasWorkingSecret,
  isAtMostTwo,
  journalIsWhole,
  keepsOverlap,
  leavesNoOrphan,
  rotationFinishes,
  storesWholeSecrets,
} from './rotation.ts';
import { passesForbidden, restsRefusedScope } from './scopes.ts';
import { stopsGently } from './stopping.ts';
import { storeDelaysLittle, storeFailsNothing } from './store-help.ts';
import {
  asksOnlyWhenDue,
  asksWithoutCalls,
  backsOff,
  keepsWorkingSecret,
  refusedComesLast,
  restsRefusedSecret,
} from './token-need.ts';
import { isAskedSeldom, oneTokenRequest, renewsSeldom } from './token-requests.ts';
import { changesRefused, serves, tokenIsValid } from './tokens.ts';
import {
  arrivesBeforeExpiry,
  bodyIsWhole,
  leavesMargin,
  sentTwiceAtMost,
  waitsForRetry,
  waitsForTry,
} from './waiting.ts';

export interface Invariant {
  readonly sentence: string;
  /** Returns what sees everything that happens in one history. */
  watch(world: World, violated: (detail: string) => void): (observation: Observation) => void;
}

export const INVARIANTS: Readonly<Record<string, Invariant>> = {
  tokenIsValid,
  changesRefused,
  oneTokenRequest,
  isAskedSeldom,
  renewsSeldom,
  serves,
  isExecutedOnce,
  isToldTheTruth,
  neverEnds,
  recovers,
  isBounded,
  asksOnlyWhenDue,
  backsOff,
  asksWithoutCalls,
  restsRefusedSecret,
  refusedComesLast,
  keepsWorkingSecret,
  readsWholeFiles,
  readsNewest,
  reloadsUnseen,
  oldStillConnects,
  stopsGently,
  waitsForRetry,
  waitsForTry,
  arrivesBeforeExpiry,
  leavesMargin,
  sentTwiceAtMost,
  bodyIsWhole,
  ...{
    journalIsWhole,
    abandonsOnlyRefused,
    keepsOverlap,
    storesWholeSecrets,
    hasWorkingSecret,
    isAtMostTwo,
    rotationFinishes,
    leavesNoOrphan,
    provisionsOnce,
    auditIsWhole,
    auditComesFirst,
    auditIsThereFirst,
    deletesOnlyItsOwn,
    rotatesOnce,
    rotatesSeldom,
  },
  ...{ sendsVerified, takesNewKeys, issuerIsAskedSeldom, keepsIssuerFiles, looksAgain },
  ...{ passesForbidden, restsRefusedScope },
  asksOnce,
  keepsNewer,
  sharesAgain,
  storeKnowsNothing,
  storeFailsNothing,
  storeDelaysLittle,
  keepsNeeded,
  overlapsInFleet,
  endsWithOne,
  findsKept,
  budgetHolds,
  lotEnds,
};

export class Violation extends Error {
  readonly detail: string;

  constructor(name: string, detail: string) {
    super(`${INVARIANTS[name]?.sentence} ${detail}`);
    this.name = name;
    this.detail = detail;
  }
}

export interface Watch {
  readonly violation: Violation | undefined;
  readonly observe: (observation: Observation) => void;
  /** Before the first observation. */
  begin(world: World): void;
  /** @throws Violation */
  readonly stopIfViolated: () => void;
}

/** Watches all of them in one history; the first violation counts. */
export function watchInvariants(): Watch {
  let first: Violation | undefined;
  let watching: ((observation: Observation) => void)[] = [];
  return {
    get violation() {
      return first;
    },
    observe(observation) {
      for (const watch of watching) watch(observation);
    },
    begin(world) {
      watching = Object.entries(INVARIANTS).map(([name, invariant]) =>
        invariant.watch(world, (detail) => {
          first ??= new Violation(name, detail);
        }),
      );
    },
    stopIfViolated() {
      if (first) throw first;
    },
  };
}
