/**
 * Who uses a client secret, as members say with their heartbeats, and which of them lack a new one. A place is where one copy
 * of the secret is: a file of one host, or a Kubernetes Secret that many pods read. Pure.
 */

/** What a member says of one client secret that it uses. */
export interface Holding {
  /** Tells clients apart: see `clientIdOf`. */
  readonly client: string;
  readonly place: string;
  /** Fingerprints of the values that it has, in the order it tries them. */
  readonly secrets: readonly string[];
  /** Whether they come from its configuration; else a restart would lose the first one. */
  readonly isKept: boolean;
}

/** Client secrets that the members share. */
export interface SecretWatch {
  holdings(): readonly Holding[];
  /** Looks whether there is a new one. @param name of the entry that news are of; absent: all. Never rejects. */
  look(name?: string): Promise<void>;
}

export interface HeldBy extends Holding {
  /** For people. */
  readonly host: string;
  /** When it said so, by the store's clock, epoch ms. */
  readonly saidAt: number;
}

export interface LackingPlace {
  readonly place: string;
  /** For people. */
  readonly host: string;
  /** By the store's clock, epoch ms. */
  readonly seenAt: number;
}

/** A place not heard of for this long is given up: its host may never come back. */
export const GIVEN_UP_MS = 24 * 3_600_000;

/** What live members say, and the last words of silent ones of places where no live one is. */
export function newestWords(live: readonly HeldBy[], silent: readonly HeldBy[]): HeldBy[] {
  const places = new Set(live.map(({ place }) => place));
  return [...live, ...silent.filter(({ place }) => !places.has(place))];
}

/** Returns the places of which it is not known that they have this value, the ones heard of last first. @param nowMs of the store */
export function lackingPlaces(
  before: readonly LackingPlace[],
  said: readonly HeldBy[],
  { fingerprint, nowMs }: { readonly fingerprint: string; readonly nowMs: number },
): LackingPlace[] {
  const places = new Map(before.map((place) => [place.place, place]));
  const lacks = ({ secrets }: Holding) => !secrets.includes(fingerprint);
  for (const { place } of said) places.delete(place);
  const knownAt = new Map(before.map(({ place, seenAt }) => [place, seenAt]));
  // Several members can have one place: it lacks the value while one of them does.
  for (const { place, host, saidAt } of said.filter(lacks))
    places.set(place, { place, host, seenAt: Math.max(saidAt, knownAt.get(place) ?? 0) });
  return [...places.values()]
    .filter(({ seenAt }) => nowMs - seenAt < GIVEN_UP_MS)
    .sort((one, other) => other.seenAt - one.seenAt);
}
