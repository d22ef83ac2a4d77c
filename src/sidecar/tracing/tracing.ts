/**
 * Traces of requests and of token requests. Whether a request is recorded is decided when it begins, and for most of them that
 * is nearly all: they only get and pass on their place in the trace.
 */
import { RandomIdGenerator } from '@opentelemetry/sdk-trace';
import type { LoadedConfig } from '../../config/load.ts';
import type { Log } from '../../core/log.ts';
import type { SpanIds, Tracing } from '../../core/tracing.ts';
import { RecordedTrace, serverAttributes, UnrecordedTrace } from './request-trace.ts';
import { createSpanQueue } from './span-queue.ts';
import { readTraceparent } from './trace-context.ts';

export interface TracingOptions {
  readonly loaded: LoadedConfig;
  readonly settings: NonNullable<LoadedConfig['config']['tracing']>;
  readonly log: Pick<Log, 'warn'>;
  /** In [0, 1). */
  readonly random: () => number;
}

/** Token requests that can be linked to: those of the last minutes, as far as calls have waited for them. */
const MAX_TOKEN_REQUESTS = 32;

/**
 * Creates the traces of a sidecar; nothing is sent before the first span.
 * @example
 * const tracing = createTracing({ loaded, settings: loaded.config.tracing, log, random });
 * const trace = tracing.begin(undefined);
 */
export function createTracing({ loaded, settings, log, random }: TracingOptions): Tracing {
  const ids = new RandomIdGenerator();
  const queue = createSpanQueue({ base: settings.otlp, loaded, log });
  const tokenRequests = createRecent();
  const recorder = { newSpanId: ids.generateSpanId, add: queue.add, tokenRequests: tokenRequests.within };
  return {
    begin(traceparents) {
      const caller = readTraceparent(traceparents);
      const isSampled = caller?.isSampled ?? random() < settings.sample;
      const own = {
        traceId: caller?.traceId ?? ids.generateTraceId(),
        spanId: ids.generateSpanId(),
        isSampled,
        isRandom: caller?.isRandom ?? false,
      };
      return isSampled ? new RecordedTrace(own, caller, recorder) : new UnrecordedTrace(own, caller !== undefined);
    },
    tokenRequest({ credential, result, seconds, server }) {
      const to = performance.now();
      const own = { traceId: ids.generateTraceId(), spanId: ids.generateSpanId() };
      tokenRequests.add({ credential, at: to, ids: own });
      const isError = result !== 'ok';
      queue.add({
        ...{ ids: own, parent: undefined, name: 'POST', kind: 'client', from: to - seconds * 1000, to, isError },
        attributes: {
          'http.request.method': 'POST',
          ...serverAttributes(server),
          'aritma_sidecar.credential': credential,
          'error.type': isError ? result : undefined,
        },
      });
    },
    close: queue.close,
  };
}

interface Recent {
  readonly credential: string;
  /** Ms of `performance.now()`. */
  readonly at: number;
  readonly ids: SpanIds;
}

function createRecent() {
  const recent: Recent[] = [];
  return {
    add(request: Recent) {
      recent.push(request);
      if (recent.length > MAX_TOKEN_REQUESTS) recent.shift();
    },
    within: (credential: string, from: number, to: number) =>
      recent.filter((one) => one.credential === credential && one.at >= from && one.at <= to).map((one) => one.ids),
  };
}
