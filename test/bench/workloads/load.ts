/** The table of workloads that put load on a subject. */
import { FLEET, PLAIN, type Shape, SMALL_BYTES, type Workload } from './workload.ts';

const GET: Shape = {
  method: 'GET',
  path: '/api/small',
  sendBytes: 0,
  expectBytes: SMALL_BYTES,
  shape: 'closed',
  connections: 32,
};
const POST: Shape = { ...GET, method: 'POST', sendBytes: 2048, expectBytes: 12 };
const MIB = 1024 * 1024;

/** Tokens of two seconds are kept for one. Callers at the moment of renewal wait for the new token: the worst case. */
const REFRESH = { name: 'refresh', tokenLifetimeS: 2 } as const;
const TRACED = { name: 'traced', sample: 0.1 } as const;
const ALL_TRACED = { name: 'all traced', sample: 1 } as const;
const OUTAGE = { name: 'outage', identityEnds: true } as const;

/** @param transferBytes size of the one large body in each direction */
export function loads(transferBytes: number): readonly Workload[] {
  const whole = { shape: 'once', connections: 1 } as const;
  const size = transferBytes >= MIB * 1024 ? `${transferBytes / MIB / 1024} GiB` : `${transferBytes / MIB} MiB`;
  const download = { ...GET, ...whole, path: `/api/bytes/${transferBytes}`, expectBytes: transferBytes };
  const upload = { ...POST, ...whole, sendBytes: transferBytes };
  return [
    { name: 'get-32', title: 'GET, 32 connections', job: GET },
    { name: 'get-1', title: 'GET, 1 connection', job: { ...GET, connections: 1 } },
    { name: 'get-512', title: 'GET, 512 connections', job: { ...GET, connections: 512 } },
    { name: 'post-2k', title: 'POST of 2 KiB, 32 connections', job: POST },
    {
      name: 'get-1m',
      title: 'download of 1 MiB, 8 connections',
      job: { ...GET, path: '/api/mebibyte', expectBytes: MIB, connections: 8 },
    },
    { name: 'tls', title: 'GET, upstream over TLS, 32 connections', job: GET, variants: [{ name: 'tls' }] },
    { name: 'new', title: 'GET, a new connection for each, 32 at once', job: { ...GET, shape: 'new' } },
    {
      name: 'open-200',
      title: 'GET, 200 a second, however slow the responses are',
      job: { ...GET, shape: 'open', perSecond: 200 },
      direct: true,
      longer: 2,
    },
    { name: 'download', title: `download of ${size}`, job: download, fresh: true },
    { name: 'upload', title: `upload of ${size}`, job: upload, fresh: true },
    {
      name: 'refresh',
      title: 'GET, 32 connections, with and without a new token every second',
      job: GET,
      variants: [PLAIN, REFRESH],
      sidecarOnly: true,
      longer: 2,
    },
    {
      name: 'outage',
      title: 'GET, 32 connections, identity server down and up',
      job: GET,
      variants: [PLAIN, OUTAGE],
      sidecarOnly: true,
    },
    {
      name: 'fleet',
      title: 'GET, 32 connections, as a member of a fleet and alone',
      job: GET,
      variants: [PLAIN, FLEET],
      sidecarOnly: true,
    },
    {
      name: 'traces',
      title: 'GET, 32 connections, without traces, with a tenth and with all',
      job: GET,
      variants: [PLAIN, TRACED, ALL_TRACED],
      sidecarOnly: true,
      // Several batches.
      longer: 3,
    },
  ];
}
