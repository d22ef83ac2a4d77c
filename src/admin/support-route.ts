/**
 * `GET /support`: the support file of this sidecar, to save. It tells more than `/status`: paths and callers in the log, the
 * whole configuration. So it is for those who may also stop the sidecar, and only on this machine: users of a Unix socket,
 * and of a loopback address where `adminActions` is set.
 */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { SidecarError } from '../core/errors.ts';

export interface SupportRoute {
  /** Makes the file; without the doctor it is quick. */
  readonly make: (withDoctor: boolean) => Promise<string>;
  readonly isAllowed: boolean;
}

/** `doctor=no`: for programs that run the doctor themselves. */
const QUERY = z.object({ doctor: z.enum(['yes', 'no']).default('yes') });

/** Adds the route; where it is not allowed, it says what to change. */
export function addSupport(app: FastifyInstance, { make, isAllowed }: SupportRoute): void {
  const options = { schema: { querystring: QUERY } };
  app.get<{ Querystring: z.infer<typeof QUERY> }>('/support', options, async ({ query }, reply) => {
    if (!isAllowed) throw notAllowed();
    const { supportFileName } = await import('../core/support-file.ts');
    return reply
      .type('text/plain; charset=utf-8')
      .header('Content-Disposition', `attachment; filename="${supportFileName(new Date())}"`)
      .send(await make(query.doctor === 'yes'));
  });
}

function notAllowed(): SidecarError {
  const failure = {
    cause: 'support_not_allowed',
    message: 'the support file is not given out over this address: the log in it names callers and paths',
    fix: 'set admin to unix:/path, or set adminActions: true and ask over a loopback address',
  };
  return new SidecarError('ROUTE_NOT_ALLOWED', { failure });
}
