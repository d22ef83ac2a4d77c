// Error responses of every emulated API: RFC 9457 bodies as ASP.NET Core writes them. Hides the tables of titles and
// links.
import { randomBytes } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { FastifyReply } from 'fastify';
import type { FieldErrors } from './validation.ts';

export interface ProblemExtras {
  detail?: string;
  errors?: FieldErrors;
}

/** RFC 9457 §3.1 members, with `traceId` in the W3C form `00-<trace>-<span>-00` as ASP.NET Core adds it. */
export interface Problem extends ProblemExtras {
  type: string;
  title: string;
  status: number;
  traceId: string;
}

const RFC_9110 = 'https://tools.ietf.org/html/rfc9110#section-';
const TYPE_LINKS: Readonly<Record<number, string>> = {
  400: `${RFC_9110}15.5.1`,
  401: `${RFC_9110}15.5.2`,
  403: `${RFC_9110}15.5.4`,
  404: `${RFC_9110}15.5.5`,
  409: `${RFC_9110}15.5.10`,
  413: `${RFC_9110}15.5.14`,
  415: `${RFC_9110}15.5.16`,
  422: 'https://tools.ietf.org/html/rfc4918#section-11.2',
  500: `${RFC_9110}15.6.1`,
};

/** Builds a problem body for an HTTP status, with a new `traceId` each time. */
export function createProblem(status: number, extras: ProblemExtras = {}): Problem {
  return {
    type: TYPE_LINKS[status] ?? 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    ...extras,
    traceId: `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-00`,
  };
}

/** Responds with a problem. Sends the body as a string, because Fastify would replace the media type of an object. */
export function sendProblem(reply: FastifyReply, status: number, extras: ProblemExtras = {}): FastifyReply {
  return reply
    .code(status)
    .header('content-type', 'application/problem+json')
    .send(JSON.stringify(createProblem(status, extras)));
}

/** Responds with 404 for something that does not exist. */
export function refuseUnknown(reply: FastifyReply, what: string): FastifyReply {
  return sendProblem(reply, 404, { detail: `This ${what} does not exist.` });
}
