// The reading part of the Banking API: accounts, balances, transactions, with filters and cursor paging.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type Account, type AccountData, pageOf } from './account-data.ts';
import { sendProblem } from './problem.ts';
import { readValid } from './validation.ts';

const PAGE_SCHEMA = z.object({
  cursor: z.string().optional(),
  pageSize: z.string().regex(/^\d+$/).transform(Number).pipe(z.int().min(1).max(100)).default(20),
});

const ACCOUNTS_SCHEMA = PAGE_SCHEMA.extend({
  withBalance: z.stringbool({ truthy: ['true'], falsy: ['false'] }).default(false),
  bban: z.string().optional(),
  iban: z.string().optional(),
  search: z.string().optional(),
});

type AccountsQuery = z.infer<typeof ACCOUNTS_SCHEMA>;

/** The action that a policy must allow for every route here. */
const READ = { config: { action: 'banking.ais.read' } };

interface AccountRequest {
  Params: { id: string };
}

/** Registers the account operations under the prefix of `app`. Field names follow the public Banking API v4 pages. */
export function registerAccounts(app: FastifyInstance, accountData: AccountData): void {
  app.get('/accounts', READ, async (request, reply) => {
    const query = readValid(ACCOUNTS_SCHEMA, request.query);
    if ('errors' in query) return sendProblem(reply, 400, { errors: query.errors });
    const page = pageOf(accountData.accounts.filter(matches(query.value)), query.value);
    if (!page) return refuseCursor(reply);
    if (!query.value.withBalance) return page;
    return { ...page, data: page.data.map((account) => ({ ...account, balances: accountData.balancesOf(account) })) };
  });
  app.get<AccountRequest>('/accounts/:id', READ, async (request, reply) => {
    return accountData.findAccount(request.params.id) ?? refuseUnknown(reply);
  });
  app.get<AccountRequest>('/accounts/:id/balances', READ, async (request, reply) => {
    const account = accountData.findAccount(request.params.id);
    return account ? { data: accountData.balancesOf(account) } : refuseUnknown(reply);
  });
  app.get<AccountRequest>('/accounts/:id/transactions', READ, async (request, reply) => {
    const account = accountData.findAccount(request.params.id);
    if (!account) return refuseUnknown(reply);
    const query = readValid(PAGE_SCHEMA, request.query);
    if ('errors' in query) return sendProblem(reply, 400, { errors: query.errors });
    return pageOf(accountData.transactionsOf(account), query.value) ?? refuseCursor(reply);
  });
}

/**
 * The onRequest hook of a versioned API: announces the only version, 1.0, and refuses any other.
 * Source: ASP.NET API Versioning, `api-version` and `api-supported-versions`.
 */
export async function checkApiVersion(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
  reply.header('api-supported-versions', '1.0');
  const asked = request.headers['api-version'];
  if (asked === undefined || asked === '1.0' || asked === '1') return undefined;
  return sendProblem(reply, 400, { detail: 'This api-version is not supported; use 1.0.' });
}

function matches({ bban, iban, search }: AccountsQuery): (account: Account) => boolean {
  const needle = search?.toLowerCase() ?? '';
  return (account) =>
    (bban === undefined || account.bban === bban) &&
    (iban === undefined || account.iban === iban) &&
    `${account.name} ${account.ownerName}`.toLowerCase().includes(needle);
}

function refuseUnknown(reply: FastifyReply): FastifyReply {
  return sendProblem(reply, 404, { detail: 'There is no account with this id.' });
}

function refuseCursor(reply: FastifyReply): FastifyReply {
  return sendProblem(reply, 400, { errors: { cursor: ['is not a cursor of this list'] } });
}
