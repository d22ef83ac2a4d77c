/** A receiver of traces (OTLP over HTTP) that decodes what really arrives, and shows it as a tree. */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import protobuf from 'protobufjs';
import { until } from './until.ts';

/** Of OTLP 1.x, by the field numbers of its trace, resource and common packages. */
const OTLP = `
  syntax = "proto3";
  message ExportTraceServiceRequest { repeated ResourceSpans resource_spans = 1; }
  message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; string schema_url = 3; }
  message Resource { repeated KeyValue attributes = 1; uint32 dropped_attributes_count = 2; }
  message ScopeSpans { InstrumentationScope scope = 1; repeated Span spans = 2; string schema_url = 3; }
  message InstrumentationScope {
    string name = 1; string version = 2; repeated KeyValue attributes = 3; uint32 dropped_attributes_count = 4;
  }
  message Span {
    bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4; string name = 5;
    SpanKind kind = 6; fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8;
    repeated KeyValue attributes = 9; uint32 dropped_attributes_count = 10; repeated Event events = 11;
    uint32 dropped_events_count = 12; repeated Link links = 13; uint32 dropped_links_count = 14; Status status = 15;
    fixed32 flags = 16;
  }
  enum SpanKind { UNSPECIFIED = 0; INTERNAL = 1; SERVER = 2; CLIENT = 3; PRODUCER = 4; CONSUMER = 5; }
  message Event {
    fixed64 time_unix_nano = 1; string name = 2; repeated KeyValue attributes = 3; uint32 dropped_attributes_count = 4;
  }
  message Link {
    bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; repeated KeyValue attributes = 4;
    uint32 dropped_attributes_count = 5; fixed32 flags = 6;
  }
  message Status { string message = 2; StatusCode code = 3; }
  enum StatusCode { UNSET = 0; OK = 1; ERROR = 2; }
  message KeyValue { string key = 1; AnyValue value = 2; }
  message AnyValue {
    oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; }
  }`;
const REQUEST = protobuf.parse(OTLP).root.lookupType('ExportTraceServiceRequest');

type Attributes = Readonly<Record<string, string | number>>;

export interface ReceivedSpan {
  readonly name: string;
  readonly kind: string;
  readonly status: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty = none. */
  readonly parentSpanId: string;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Attributes;
  readonly resource: Attributes;
  /** Ids of spans, after their trace. */
  readonly links: readonly string[];
}

export interface TraceReceiver extends AsyncDisposable {
  /** For `tracing.otlp`. */
  readonly url: string;
  readonly spans: readonly ReceivedSpan[];
  /** Bodies as they arrived, and the heads of their requests. */
  readonly bodies: readonly Buffer[];
  readonly heads: readonly { readonly target: string; readonly headers: IncomingHttpHeaders }[];
  /** Spans of each trace, from the root; children by their start. */
  tree(traceId: string, show?: (span: ReceivedSpan) => string): string;
  untilSpan(isIt: (span: ReceivedSpan) => boolean): Promise<ReceivedSpan>;
}

export type TraceAnswerer = (res: ServerResponse, req: IncomingMessage, count: number) => void;

const accept: TraceAnswerer = (res) => void res.writeHead(200, { 'Content-Type': 'application/x-protobuf' }).end();

/** @param answer what it does after a whole request has arrived; default: 200 */
export async function startTraceReceiver(answer: TraceAnswerer = accept): Promise<TraceReceiver> {
  const spans: ReceivedSpan[] = [];
  const bodies: Buffer[] = [];
  const heads: { target: string; headers: IncomingHttpHeaders }[] = [];
  const server = createServer(async (req, res) => {
    heads.push({ target: req.url ?? '', headers: req.headers });
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    spans.push(...decode(body));
    answer(res, req, bodies.push(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ spans, bodies, heads },
    tree: (traceId, show = ({ name }) => name) =>
      branch(
        spans.filter((span) => span.traceId === traceId),
        undefined,
        show,
      ).join('\n'),
    async untilSpan(isIt) {
      await until('the span arrives', () => spans.some(isIt));
      return spans.find(isIt) as ReceivedSpan;
    },
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Spans whose parent is none of these are roots: the parent is the caller's. */
function branch(all: readonly ReceivedSpan[], of: string | undefined, show: (span: ReceivedSpan) => string): string[] {
  const isRoot = ({ parentSpanId }: ReceivedSpan) => !all.some(({ spanId }) => spanId === parentSpanId);
  const here = all.filter((span) => (of === undefined ? isRoot(span) : span.parentSpanId === of));
  here.sort((one, other) => Number(one.startNs - other.startNs));
  return here.flatMap((span) => [show(span), ...branch(all, span.spanId, show).map((line) => `  ${line}`)]);
}

interface Pair {
  readonly key: string;
  readonly value: Readonly<Record<string, string | number>>;
}

type Decoded = Readonly<Record<string, string>> & {
  readonly attributes: readonly Pair[];
  readonly status?: { readonly code?: string };
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
};

function decode(body: Buffer): ReceivedSpan[] {
  const { resourceSpans } = REQUEST.toObject(REQUEST.decode(body), {
    ...{ bytes: String, longs: String, enums: String, arrays: true, oneofs: false },
  }) as { resourceSpans: { resource: { attributes: Pair[] }; scopeSpans: { spans: Decoded[] }[] }[] };
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) => spans.map((span) => received(span, resource.attributes))),
  );
}

function received(span: Decoded, resource: readonly Pair[]): ReceivedSpan {
  return {
    ...{ name: span['name'] ?? '', kind: span['kind'] ?? '', status: span.status?.code ?? 'UNSET' },
    ...{ traceId: hex(span['traceId']), spanId: hex(span['spanId']), parentSpanId: hex(span['parentSpanId']) },
    startNs: BigInt(span['startTimeUnixNano'] ?? 0),
    endNs: BigInt(span['endTimeUnixNano'] ?? 0),
    attributes: attributesOf(span.attributes),
    resource: attributesOf(resource),
    links: span.links.map((link) => `${hex(link.traceId)} ${hex(link.spanId)}`),
  };
}

function hex(base64 = ''): string {
  return Buffer.from(base64, 'base64').toString('hex');
}

function attributesOf(pairs: readonly Pair[]): Attributes {
  const textOrNumber = ({ stringValue, ...number }: Pair['value']) => stringValue ?? Number(Object.values(number)[0]);
  return Object.fromEntries(pairs.map(({ key, value }) => [key, textOrNumber(value)]));
}
