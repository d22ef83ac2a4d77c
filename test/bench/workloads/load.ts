/** The workloads that load a subject for a while. */
import type { Shape, Workload } from './workload.ts';

export const SMALL_BYTES = 686;
const GET: Shape = {
  method: 'GET',
  path: '/api/small',
  sendBytes: 0,
  expectBytes: SMALL_BYTES,
  shape: 'closed',
  connections: 32,
};

export const LOADS: readonly Workload[] = [{ name: 'get-32', title: 'GET, 686 bytes, 32 connections', job: GET }];
