/**
 * The parts of undici that run here, each by its own file. Its index loads four times as many, of fetch, caches and mocks
 * that nothing here uses: 40 ms of every start and 4 MiB for as long as the process lives (`npm run bench -- --workloads
 * start`). The version is pinned, and what is no public path of it is checked by the tests that use it.
 */
import type undici from 'undici';
import api from 'undici/lib/api/index.js';
import connect from 'undici/lib/core/connect.js';
import failures from 'undici/lib/core/errors.js';
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js';
import HttpPool from 'undici/lib/dispatcher/pool.js';

// As its index does: `request()` and its like.
Object.assign(Dispatcher.prototype, api);

export const Pool: typeof undici.Pool = HttpPool;
export const buildConnector: typeof undici.buildConnector = connect;
export const errors: typeof undici.errors = failures;
