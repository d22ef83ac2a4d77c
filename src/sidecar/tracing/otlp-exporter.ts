/**
 * Sends batches of spans to a receiver (OTLP over HTTP, in protobuf), by the same connections as everything else: outbound
 * proxy, TLS, time and size of the response are bounded. A receiver that is down, slow or wrong costs spans, nothing else.
 */
import { setTimeout } from 'node:timers/promises';
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import type { BaseUrl } from '../../config/parsers.ts';
import type { Failure } from '../../core/failure.ts';
import { VERSION } from '../../core/version.ts';
import { type BoundedOutcome, sendBounded } from '../../net/bounded-request.ts';
import { failureAt } from '../../net/connection-errors.ts';
import { createEgress, type Outbound } from '../../net/egress.ts';
import { type Place, placeOf } from '../../net/place.ts';

export interface OtlpExporterOptions {
  readonly base: BaseUrl;
  readonly loaded: Outbound;
  /** Called with the number of spans of a batch that was not accepted. */
  readonly onLost: (spans: number, failure: Failure) => void;
}

export interface OtlpExporter extends SpanExporter {
  /** Ends pauses between tries; what fails from now on is lost at once. */
  stopRetrying(): void;
  /** Aborts what still runs. */
  destroy(): Promise<void>;
}

/** One try, from connecting to the last byte. */
const TRY_MS = 5000;
const TRIES = 3;
const FIRST_PAUSE_MS = 1000;
/** A receiver that wants more time than this loses the batch. */
const MAX_PAUSE_MS = 5000;
/** Of a response: it says little, and nothing is read from it. */
const MAX_RESPONSE_BYTES = 64 * 1024;
const MAX_BYTES_PER_CONNECTION = 1024 * 1024;
/** One for the batches in turn, the others for those that are left at the end. */
const CONNECTIONS = 4;
/** OTLP 1.x, "Retryable Response Codes". */
const RETRYABLE = new Set([429, 502, 503, 504]);
const HEADERS = { 'content-type': 'application/x-protobuf', 'user-agent': `aritma-sidecar/${VERSION}` };
const OWNER = 'tracing';
/** `ExportResultCode` of @opentelemetry/core. */
const SENT = 0;

/** Creates the exporter; it connects with the first batch. `export` always calls back, and never throws. */
export function createOtlpExporter({ base, loaded, onLost }: OtlpExporterOptions): OtlpExporter {
  const limits = { connections: CONNECTIONS, maxBytes: MAX_BYTES_PER_CONNECTION };
  const egress = createEgress(base, { loaded, ...limits, owner: OWNER });
  const place = placeOf({ base, owner: OWNER, option: 'tracing.otlp' }, loaded, loaded.config.timeouts.connect);
  const path = `${base.basePath}/v1/traces`;
  const running = new Set<Promise<void>>();
  const stopping = new AbortController();

  async function send(spans: ReadableSpan[]): Promise<void> {
    const body = ProtobufTraceSerializer.serializeRequest(spans);
    for (let count = 1; ; count += 1) {
      const outcome = await sendBounded(egress.dispatcher, {
        ...{ method: 'POST', path, headers: HEADERS, body },
        ...{ deadlineMs: TRY_MS, maxBytes: MAX_RESPONSE_BYTES },
      });
      if (isAccepted(outcome)) return;
      const pauseMs = pauseAfter(outcome, count);
      const isOver = pauseMs === undefined || !(await pause(pauseMs, stopping.signal));
      if (isOver) {
        onLost(spans.length, failureOf(outcome, place));
        return;
      }
    }
  }

  return {
    export(spans, done) {
      const sending = send(spans)
        .catch(() => onLost(spans.length, INTERNAL))
        .finally(() => {
          running.delete(sending);
          done({ code: SENT });
        });
      running.add(sending);
    },
    shutdown: async () => void (await Promise.allSettled(running)),
    stopRetrying: () => stopping.abort(),
    async destroy() {
      await egress.destroy();
      await Promise.allSettled(running);
    },
  };
}

const INTERNAL: Failure = {
  cause: 'otlp_internal',
  message: 'the spans could not be encoded',
  fix: 'report this with the log',
};

function stoppedAt(host: string): Failure {
  return {
    ...{ cause: 'otlp_stopped', host },
    message: `the sidecar stopped before ${host} had taken all traces`,
    fix: 'if traces of the last seconds matter, check how fast the receiver responds',
  };
}

function isAccepted({ response }: BoundedOutcome): boolean {
  return response !== undefined && response.status >= 200 && response.status < 300;
}

/** How long to wait before the next try, ms; undefined = no other try. */
function pauseAfter(outcome: BoundedOutcome, count: number): number | undefined {
  const isTransient = outcome.failed ? !outcome.isLate : RETRYABLE.has(outcome.response.status);
  if (!isTransient || count === TRIES) return undefined;
  const askedMs = Number(outcome.response?.headers['retry-after'] ?? 0) * 1000;
  const ms = Math.max(FIRST_PAUSE_MS * 2 ** (count - 1), askedMs);
  return ms <= MAX_PAUSE_MS ? ms : undefined;
}

/** Resolves with false when it was cut short. */
function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  return setTimeout(ms, true, { signal, ref: false }).catch(() => false);
}

function failureOf(outcome: BoundedOutcome, place: Place): Failure {
  const { target } = place;
  if (outcome.failed && 'code' in outcome.failed && outcome.failed.code === 'UND_ERR_DESTROYED')
    return stoppedAt(target);
  if (outcome.failed) {
    const isSilent = outcome.isLate && outcome.isConnected !== false;
    const late = { stage: 'response', responseSeconds: TRY_MS / 1000 } as const;
    return failureAt(outcome.failed, isSilent ? { ...place, ...late } : place);
  }
  const { status } = outcome.response;
  return {
    ...{ cause: 'otlp_refused', host: target },
    message: `${target} responds with HTTP ${status} to traces`,
    fix: 'check that tracing.otlp is the base URL of an OTLP/HTTP receiver that accepts traces without credentials',
  };
}
