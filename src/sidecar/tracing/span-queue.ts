/** Spans on their way to the receiver: a bounded queue in front of batches, and what was lost is said in the log. */
import { randomUUID } from 'node:crypto';
import { type Link, type SpanContext, SpanKind, type SpanStatus, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace';
import type { BaseUrl } from '../../config/parsers.ts';
import { type Failure, failureFields } from '../../core/failure.ts';
import { type Log, onceIn } from '../../core/log.ts';
import type { SpanIds } from '../../core/tracing.ts';
import { VERSION } from '../../core/version.ts';
import { within } from '../../net/bounded-request.ts';
import type { Outbound } from '../../net/egress.ts';
import { createOtlpExporter } from './otlp-exporter.ts';
import type { SpanDraft } from './request-trace.ts';

export interface SpanQueue {
  /** Never throws and never waits: without room, the span is lost. */
  add(span: SpanDraft): void;
  /** Sends what is left, within a second. */
  close(): Promise<void>;
}

export interface SpanQueueOptions {
  readonly base: BaseUrl;
  readonly loaded: Outbound;
  readonly log: Pick<Log, 'warn'>;
}

const MAX_WAITING = 2048;
/** A batch is encoded at once: more spans would hold calls up for longer. */
const BATCH = 256;
const BATCH_EVERY_MS = 2000;
/** Longer than all tries of a batch. */
const EXPORT_MS = 30_000;
const FLUSH_MS = 1000;
const LOG_EVERY_MS = 60_000;
const SCOPE = { name: 'aritma-sidecar', version: VERSION };
const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL };
const FULL: Failure = {
  cause: 'otlp_queue_full',
  message: `${MAX_WAITING} spans wait for the receiver of traces, and there are more`,
  fix: 'check the receiver, or set a smaller tracing.sample',
};

/** Creates an empty queue; its batches are sent in the background. */
export function createSpanQueue({ base, loaded, log }: SpanQueueOptions): SpanQueue {
  const mayLog = onceIn(LOG_EVERY_MS);
  let lost = 0;
  let waiting = 0;
  let last: Failure | undefined;
  const report = () => {
    if (lost > 0) log.warn('traces were lost', { spans: lost, ...failureFields(last) });
    lost = 0;
  };
  const lose = (spans: number, failure: Failure) => {
    lost += spans;
    last = failure;
    if (mayLog()) report();
  };
  const exporter = createOtlpExporter({ base, loaded, onLost: lose });
  const processor = new BatchSpanProcessor({
    exporter: {
      export(spans, done) {
        waiting -= spans.length;
        exporter.export(spans, done);
      },
      shutdown: () => exporter.shutdown(),
    },
    ...{ maxQueueSize: MAX_WAITING, maxExportBatchSize: BATCH },
    ...{ scheduledDelayMillis: BATCH_EVERY_MS, exportTimeoutMillis: EXPORT_MS },
  });
  return {
    add(span) {
      if (waiting >= MAX_WAITING) {
        lose(1, FULL);
        return;
      }
      waiting += 1;
      processor.onEnd(new EndedSpan(span));
    },
    async close() {
      exporter.stopRetrying();
      await within(FLUSH_MS, processor.shutdown(), () => undefined);
      await exporter.destroy();
      report();
    },
  };
}

/** An id of this run: nothing of the machine. */
const RESOURCE = resourceFromAttributes({
  'service.name': 'aritma-sidecar',
  'service.version': VERSION,
  'service.instance.id': randomUUID(),
});

/** A class: objects of one shape cost less than those put together from parts, and each recorded call makes several. */
class EndedSpan implements ReadableSpan {
  readonly name: string;
  readonly kind: SpanKind;
  declare readonly parentSpanContext?: SpanContext;
  readonly startTime: [number, number];
  readonly endTime: [number, number];
  readonly duration: [number, number];
  readonly ended = true;
  readonly status: SpanStatus;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly links: Link[];
  readonly events = [];
  readonly resource = RESOURCE;
  readonly instrumentationScope = SCOPE;
  readonly droppedAttributesCount = 0;
  readonly droppedEventsCount = 0;
  readonly droppedLinksCount = 0;
  readonly #context: SpanContext;

  constructor({ name, kind, ids, parent, isRemote, from, to, isError, attributes, links = [] }: SpanDraft) {
    const offsetMs = Date.now() - performance.now();
    this.name = name;
    this.kind = KINDS[kind];
    this.#context = contextOf(ids, false);
    if (parent) this.parentSpanContext = contextOf(parent, isRemote === true);
    this.startTime = timeOf(offsetMs + from);
    this.endTime = timeOf(offsetMs + to);
    this.duration = timeOf(to - from);
    this.status = { code: isError ? SpanStatusCode.ERROR : SpanStatusCode.UNSET };
    this.attributes = defined(attributes);
    this.links = links.map((link) => ({ context: contextOf(link, false) }));
  }

  spanContext(): SpanContext {
    return this.#context;
  }
}

function contextOf({ traceId, spanId }: SpanIds, isRemote: boolean): SpanContext {
  return { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote };
}

/** Seconds and nanoseconds. */
function timeOf(ms: number): [number, number] {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.floor((ms - seconds * 1000) * 1e6)];
}

function defined(all: SpanDraft['attributes']): Record<string, string | number> {
  const present: Record<string, string | number> = {};
  for (const name in all) {
    const value = all[name];
    if (value !== undefined) present[name] = value;
  }
  return present;
}
