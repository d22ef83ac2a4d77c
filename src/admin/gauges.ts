/**
 * Gauges read from the same snapshot as `/status` at every scrape, so that series of removed routes and credentials
 * disappear.
 */
import type { StatusInput, TokenView } from './status-input.ts';
import { verdictOf } from './verdict.ts';

export interface Sample {
  readonly name:
    | 'token_expiry_timestamp_seconds'
    | 'token_last_success_timestamp_seconds'
    | 'token_consecutive_failures'
    | 'secret_in_use'
    | 'secret_expiry_timestamp_seconds'
    | 'client_assertion_expiry_timestamp_seconds'
    | 'config_generation'
    | 'route_working'
    | 'log_lines_lost_total'
    | 'fleet_up'
    | 'fleet_members';
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Returns the gauges. If several tokens share labels, the worst one counts: first to expire, most failures. */
export function gauges(input: StatusInput): Sample[] {
  const { credentials, tokens, generation, routes, logLinesLost, fleet } = input;
  return [
    ...routes.map(
      (route): Sample => ({
        name: 'route_working',
        labels: { route: route.path },
        value: verdictOf(route, input).state === 'fails' ? 0 : 1,
      }),
    ),
    { name: 'config_generation', labels: {}, value: generation },
    { name: 'log_lines_lost_total', labels: {}, value: logLinesLost },
    ...(fleet ? ofFleet(fleet) : []),
    ...credentials.flatMap(({ name: credential, secrets, assertionExpiresAt }) => [
      ...(assertionExpiresAt === undefined ? [] : [ofAssertion(credential, assertionExpiresAt)]),
      ...ofTokens(
        credential,
        tokens.filter(({ key }) => key.credential === credential),
      ),
      ...secrets.flatMap(({ name: secret, inUse, expiresAt }): Sample[] => {
        const labels = { credential, secret };
        const use: Sample = { name: 'secret_in_use', labels, value: inUse ? 1 : 0 };
        if (expiresAt === undefined) return [use];
        return [use, { name: 'secret_expiry_timestamp_seconds', labels, value: expiresAt / 1000 }];
      }),
    ]),
  ];
}

function ofAssertion(credential: string, expiresAt: number): Sample {
  return { name: 'client_assertion_expiry_timestamp_seconds', labels: { credential }, value: expiresAt / 1000 };
}

function ofFleet({ up, members }: NonNullable<StatusInput['fleet']>): Sample[] {
  const state: Sample = { name: 'fleet_up', labels: {}, value: up ? 1 : 0 };
  return members === undefined ? [state] : [state, { name: 'fleet_members', labels: {}, value: members }];
}

function ofTokens(credential: string, tokens: readonly TokenView[]): Sample[] {
  const samples: Sample[] = [
    {
      name: 'token_consecutive_failures',
      labels: { credential },
      value: Math.max(0, ...tokens.map(({ consecutiveFailures }) => consecutiveFailures)),
    },
  ];
  const successes = tokens.flatMap(({ lastSuccessAt = [] }) => lastSuccessAt);
  if (successes.length > 0) {
    const value = Math.max(...successes) / 1000;
    samples.push({ name: 'token_last_success_timestamp_seconds', labels: { credential }, value });
  }
  const expiries = Map.groupBy(tokens, ({ key }) => key.scope ?? '');
  for (const [scope, group] of expiries) {
    const times = group.flatMap(({ expiresAt = [] }) => expiresAt);
    if (times.length === 0) continue;
    const value = Math.min(...times) / 1000;
    samples.push({ name: 'token_expiry_timestamp_seconds', labels: { credential, scope }, value });
  }
  return samples;
}
