/** curl as a caller: each call as a user types it, and its result in the form that all callers report. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** What a program saw of one call. */
export interface Seen {
  readonly call: string;
  readonly status: number;
  readonly text?: string;
  readonly text64?: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly length?: string | null;
  readonly coding?: string | null;
}

const run = promisify(execFile);

/** The body that callers send: 5 MiB. */
export const uploaded = () =>
  Buffer.concat(Array.from({ length: 80 }, (_, index) => Buffer.alloc(65_536, index % 251)));
export const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex');
export const textOf = ({ text, text64 }: Seen) => text ?? Buffer.from(text64 ?? '', 'base64').toString();

/** @param counted leads to the same sidecar and counts connections */
export async function callWithCurl(base: string, counted: string, transfer: string): Promise<Seen[]> {
  const folder = mkdtempSync(join(tmpdir(), 'aritma-sidecar-test-'));
  const body = join(folder, 'body');
  const upload = join(folder, 'upload');
  writeFileSync(upload, uploaded());
  const curl = async (call: string, ...args: readonly string[]): Promise<Seen> => {
    const format = '%{http_code} %header{content-length} %header{transfer-encoding}';
    const { stdout } = await run('curl', ['-sS', '-m', '15', '-o', body, '-w', format, ...args]);
    const [status, length = '', coding = ''] = stdout.split(' ');
    const data = readFileSync(body);
    return {
      call,
      status: Number(status),
      text: data.toString(),
      bytes: data.length,
      sha256: sha256(data),
      length,
      coding,
    };
  };
  try {
    const json = ['-H', 'Content-Type: application/json', '-d', transfer];
    const accounts = `${counted}/banking/accounts`;
    const seen = [
      await curl('get', `${base}/banking/accounts`),
      await curl('post', ...json, `${base}/banking/payments/credit-transfer`),
      await curl('upload', '-T', upload, '-H', 'Transfer-Encoding: chunked', `${base}/echo/up`),
      await curl('expect', '-T', upload, '-H', 'Expect: 100-continue', `${base}/echo/up`),
      await curl('download', `${base}/echo/bytes/20971520`),
      await curl('http10', '--http1.0', `${base}/echo/bytes/100000?chunked=1`),
    ];
    // With --head curl writes the header lines to the body's output.
    const head = await curl('head', '--head', `${base}/echo/bytes/1000`);
    seen.push({ ...head, bytes: head.bytes - (textOf(head).indexOf('\r\n\r\n') + 4) });
    const { stdout } = await run('curl', ['-sS', '-o', body, '-o', body, '-w', '%{http_code}\n', accounts, accounts]);
    const text = readFileSync(body, 'utf8');
    for (const status of stdout.trim().split('\n')) {
      seen.push({ call: 'kept', status: Number(status), text, bytes: text.length, sha256: '' });
    }
    return seen;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
