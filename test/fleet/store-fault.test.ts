// Each failure has a cause from a closed list: nothing of the error itself, which may hold the password, is shown.
import { describe, expect, it } from 'vitest';
import { faultOf, StoreTimeout } from '../../src/fleet/store-fault.ts';

const reply = (message: string) => Object.assign(new Error(message), { name: 'ReplyError' });
const network = (code: string) => Object.assign(new Error(`connect ${code} 127.0.0.1:6379`), { code });

describe('the cause of a failure of the store', () => {
  it.each([
    ['timeout', new StoreTimeout()],
    ['timeout', new Error("Socket timeout. Expecting data, but didn't receive any in 5000ms.")],
    ['unreachable', network('ECONNREFUSED')],
    ['unreachable', network('ECONNRESET')],
    ['unreachable', network('ETIMEDOUT')],
    ['unreachable', network('ENOTFOUND')],
    ['unreachable', new Error('not connected')],
    ['unreachable', new Error('Connection is closed.')],
    ['unreachable', new Error("Stream isn't writeable and enableOfflineQueue options is false")],
    ['unreachable', new Error('Reached the max retries per request limit (which is 0).')],
    ['unreachable', new Error('All sentinels are unreachable and retry is disabled. Last error: Command timed out')],
    ['unreachable', new Error('None of startup nodes is available')],
    ['tls', Object.assign(new Error('self-signed certificate'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })],
    ['tls', Object.assign(new Error('unable to verify'), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' })],
    ['tls', Object.assign(new Error('write EPROTO'), { code: 'EPROTO' })],
    ['tls', Object.assign(new Error('alert'), { code: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED' })],
    ['password', reply('WRONGPASS invalid username-password pair or user is disabled.')],
    ['password', reply('NOAUTH HELLO must be called with the client already authenticated')],
    ['denied', reply("NOPERM User x has no permissions to run the 'evalsha' command")],
    ['denied', reply("ERR The user executing the script can't run this command or subcommand script: abc")],
    ['database', reply('ERR DB index is out of range')],
    ['full', reply("OOM command not allowed when used memory > 'maxmemory'. script: abc, on @user_script:3.")],
    ['full', reply('ERR Error running script (call to f_abc): @user_script:3: -OOM command not allowed')],
    ['read_only', reply("READONLY You can't write against a read only replica. script: abc")],
    ['not_ready', reply('LOADING Redis is loading the dataset in memory')],
    ['not_ready', reply('CLUSTERDOWN The cluster is down')],
    ['not_ready', reply('ERR max number of clients reached')],
    ['other', reply('ERR something new')],
    ['unreachable', undefined],
  ])('is %s: %s', (cause, error) => {
    expect(faultOf(error).cause).toBe(cause);
  });

  it('comes with a sentence that repeats nothing of the error', () => {
    const command = { name: 'hello', args: ['canary-password'] };
    const error = Object.assign(reply('WRONGPASS canary-text'), { command });
    expect(JSON.stringify(faultOf(error))).not.toContain('canary');
  });
});
