// What a test may ask about the past of a run: how often each API was called and with what outcome.

/** Requests are counted when they arrive, also those that a scripted fault or a refused token ends. */
export interface Counters {
  tokenRequests: number;
  tokensIssued: number;
  requests: { banking: number; events: number; echo: number; iam: number };
  unauthorized: number;
  expiredTokensSeen: number;
  payments: { created: number; replayed: number };
  /** In the order of creation; grows until the counters are reset. */
  paymentIds: string[];
}

/** Creates counters at zero. */
export function createCounters(): Counters {
  return {
    tokenRequests: 0,
    tokensIssued: 0,
    requests: { banking: 0, events: 0, echo: 0, iam: 0 },
    unauthorized: 0,
    expiredTokensSeen: 0,
    payments: { created: 0, replayed: 0 },
    paymentIds: [],
  };
}
