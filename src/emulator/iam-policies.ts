// The policy operations of the IAM API: create, list, delete. Policies have no id; subject, scope and action identify
// one.
import type { FastifyInstance, FastifyReply } from 'fastify';
import { z } from 'zod';
import { ACTIONS } from './actions.ts';
import { NUMBERED_PAGE } from './paging.ts';
import type { Policy } from './policies.ts';
import { refuseUnknown, sendProblem } from './problem.ts';
import { SCOPE_URI } from './scope-uri.ts';
import type { Store } from './store.ts';
import { clientOf, TENANT } from './subjects.ts';
import { readValid } from './validation.ts';

const NAME = z.string().min(1, 'must not be empty');
const TUPLE_SCHEMA = z.object({ subject: NAME, scope: NAME, action: NAME });

const FLAG = z.stringbool({ truthy: ['true'], falsy: ['false'] }).default(false);

const LIST_SCHEMA = NUMBERED_PAGE.pick({ pageSize: true }).extend({
  cursor: z.string().transform(readCursor).pipe(z.number('is not a cursor of this list')).default(0),
  includeDerived: FLAG,
  includeInherited: FLAG,
  subject: z.string().optional(),
  scope: z.string().optional(),
  action: z.string().optional(),
});

/** Registers the policy operations. */
export function registerPolicies(app: FastifyInstance, { clients, policies, settings }: Store): void {
  const isSubject = (subject: string) =>
    settings.lenient ? SUBJECT.test(subject) : clients.find(clientOf(subject) ?? '') !== undefined;
  const schema = creatableBy(isSubject);

  app.post('/policies', async (request, reply) => {
    const policy = readValid(schema, request.body);
    if ('errors' in policy) return sendProblem(reply, 400, { errors: policy.errors });
    const added = policies.add(policy.value);
    if (!added && settings.duplicatePolicy === 'conflict') return refuseDuplicate(reply);
    return settings.createResponse === 'empty' ? reply.code(200).send() : describe(policy.value);
  });
  app.get('/policies', async (request, reply) => {
    const query = readValid(LIST_SCHEMA, request.query);
    if ('errors' in query) return sendProblem(reply, 400, { errors: query.errors });
    const { cursor, pageSize, ...filter } = query.value;
    const { items, after } = policies.page(filter, cursor, pageSize);
    return { items: items.map(describe), ...(after !== undefined && { cursor: writeCursor(after) }) };
  });
  // The policy is in the body, because a path cannot hold a scope.
  app.delete('/policies', async (request, reply) => {
    const policy = readValid(TUPLE_SCHEMA, request.body);
    if ('errors' in policy) return sendProblem(reply, 400, { errors: policy.errors });
    return policies.remove(policy.value) ? reply.code(204).send() : refuseUnknown(reply, 'policy');
  });
}

/** Also users and groups, which do not exist here. */
const SUBJECT = /^(client|user|group)-./;

function creatableBy(isSubject: (subject: string) => boolean): z.ZodType<Policy> {
  return z.object({
    subject: NAME.refine(isSubject, { message: 'is not a subject of this tenant; GET /subjects/clients lists them' }),
    scope: NAME.regex(SCOPE_URI, 'must be / or a path like /subscriptions/123'),
    action: NAME.refine((action) => ACTIONS.has(action), { message: 'is not a known action; GET /actions lists them' }),
  });
}

function describe({ subject, scope, action }: Policy): object {
  return { subject, scope, action, tenant: TENANT };
}

function refuseDuplicate(reply: FastifyReply): FastifyReply {
  return sendProblem(reply, 409, { detail: 'This policy already exists.' });
}

function writeCursor(after: number): string {
  return Buffer.from(`after:${after}`).toString('base64url');
}

function readCursor(cursor: string): number | undefined {
  const digits = /^after:([1-9]\d{0,14})$/.exec(Buffer.from(cursor, 'base64url').toString())?.[1];
  const after = Number(digits);
  // Decoding base64 skips unknown characters, so a valid cursor must encode back to itself.
  return digits !== undefined && writeCursor(after) === cursor ? after : undefined;
}
