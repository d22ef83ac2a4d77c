/**
 * What every IAM command receives: a connection to Aritma IAM, a printer and its flags. Opened before the command runs, closed
 * however it ends.
 */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { type LoadedConfig, loadConfig } from '../../config/load.ts';
import { withPrograms } from '../../config/secret-programs.ts';
import { SidecarError } from '../../core/errors.ts';
import { Secret } from '../../core/secret.ts';
import { createIamApi, type IamApi } from '../../iam/api.ts';
import { connectIam, connectIamAs, type OpenIam } from '../../iam/connection.ts';
import { type IamFlags, textFlag, usageError } from './flags.ts';
import { createPrinter, type Printer } from './output.ts';

export interface Session {
  readonly api: IamApi;
  readonly printer: Printer;
  readonly flags: IamFlags;
  /** The words after the command that are not flags, in order. */
  readonly operands: readonly string[];
}

export type IamCommand = (session: Session) => Promise<void>;

const OK = 0;
/** Even tokens with many claims have only a few KiB. */
const MAX_TOKEN_BYTES = 64 * 1024;

/** Runs a command and returns its exit code. @throws SidecarError CONFIG_INVALID, IAM_*, TOKEN_UNAVAILABLE, CREDENTIALS_REJECTED */
export async function runIamCommand(
  command: IamCommand,
  flags: IamFlags,
  operands: readonly string[],
): Promise<number> {
  const { connect } = await openAccess(flags);
  const printer = createPrinter({ out: process.stdout, err: process.stderr }, flags['json'] === true);
  await using iam = connect();
  try {
    await command({ api: createIamApi(iam.connection, printer.onPage), printer, flags, operands });
  } finally {
    printer.settle();
  }
  return OK;
}

export interface Access {
  readonly loaded: LoadedConfig;
  readonly connect: () => OpenIam;
}

/** Finds the address of IAM and the credential, from flags, environment and file. @throws SidecarError CONFIG_INVALID */
export async function openAccess(flags: IamFlags): Promise<Access> {
  const tokenFile = textFlag(flags, 'tokenFile');
  const credential = textFlag(flags, 'credential');
  if (tokenFile !== undefined && credential !== undefined)
    throw usageError('--token-file', 'cannot be used with --credential');
  const loaded = await load(flags, { ownToken: tokenFile !== undefined, credential });
  const token = tokenFile === undefined ? undefined : readToken(tokenFile);
  return { loaded, connect: () => (token ? connectIamAs(loaded, token) : connectIam(loaded)) };
}

async function load(
  flags: IamFlags,
  iamOnly: { ownToken: boolean; credential: string | undefined },
): Promise<LoadedConfig> {
  const options = { '--environment': textFlag(flags, 'environment'), '--iam-url': textFlag(flags, 'iamUrl') };
  const given = Object.entries(options).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const inputs = { flags: Object.fromEntries(given), file: textFlag(flags, 'config'), iamOnly };
  return withPrograms((printed) => loadConfig({ ...inputs, printed }));
}

/** RFC 6750 §2.1. A line break in a token would start another header. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;

function readToken(path: string): Secret {
  const flag = 'flag --token-file';
  let text: string;
  try {
    const file = openSync(path, 'r');
    try {
      const { mode, size } = fstatSync(file);
      if (size > MAX_TOKEN_BYTES) throw usageError(flag, 'names a file that is too large for a token');
      if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
        process.stderr.write(
          `warning: other users can access the token file (mode ${(mode & 0o777).toString(8)}); run chmod 600 on it\n`,
        );
      }
      text = readFileSync(file, 'utf8');
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (error instanceof SidecarError) throw error;
    throw usageError(flag, `names a file that cannot be read (${String((error as NodeJS.ErrnoException).code)})`);
  }
  const token = text.replace(/^\uFEFF/, '').replace(/\r?\n$/, '');
  if (!TOKEN.test(token)) throw usageError(flag, 'must name a file with an access token and nothing else');
  return new Secret(`Bearer ${token}`);
}
