/** Reads from a file's bytes what kind of program it is: machine, program inside, signature. */
import { createHash } from 'node:crypto';

export interface Format {
  readonly kind: 'ELF' | 'PE' | 'Mach-O';
  readonly machine: 'x64' | 'arm64' | 'other';
  /** Whether the signature fits the file's bytes; who signed them is not checked. */
  readonly signature: 'none' | 'intact' | 'broken';
}

/** Node looks for this in itself; `:1` means that a program is embedded (postject's sentinel, as Node documents it). */
export const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/** @throws Error for anything but the three formats */
export function formatOf(file: Buffer): Format {
  if (file.readUInt32BE(0) === 0x7f454c46) {
    return { kind: 'ELF', machine: machineOf(file.readUInt16LE(18), 0x3e, 0xb7), signature: 'none' };
  }
  if (file.toString('latin1', 0, 2) === 'MZ') return portable(file, file.readUInt32LE(0x3c));
  if (file.readUInt32LE(0) === 0xfeedfacf) {
    const machine = machineOf(file.readUInt32LE(4), 0x01000007, 0x0100000c);
    return { kind: 'Mach-O', machine, signature: appleSignature(file) };
  }
  throw new Error('neither ELF nor PE nor Mach-O');
}

function machineOf(code: number, x64: number, arm64: number): Format['machine'] {
  if (code === x64) return 'x64';
  return code === arm64 ? 'arm64' : 'other';
}

/** PE32+: the fifth data directory holds the place of an Authenticode signature. */
function portable(file: Buffer, header: number): Format {
  if (file.toString('latin1', header, header + 4) !== 'PE\0\0') throw new Error('no PE header');
  const certificates = header + 24 + 112 + 4 * 8;
  const [start, size] = [file.readUInt32LE(certificates), file.readUInt32LE(certificates + 4)];
  const machine = machineOf(file.readUInt16LE(header + 4), 0x8664, 0xaa64);
  if (size === 0) return { kind: 'PE', machine, signature: 'none' };
  // Authenticode hashes everything but the checksum, the entry of the signature and the signature itself, which has the hash.
  const checksum = header + 24 + 64;
  const hash = createHash('sha256')
    .update(file.subarray(0, checksum))
    .update(file.subarray(checksum + 4, certificates))
    .update(file.subarray(certificates + 8, start))
    .update(file.subarray(start + size))
    .digest();
  return { kind: 'PE', machine, signature: file.subarray(start, start + size).includes(hash) ? 'intact' : 'broken' };
}

const LC_CODE_SIGNATURE = 0x1d;
const CODE_DIRECTORY = 0xfade0c02;

/** Compares every page with its hash in the signature. */
function appleSignature(file: Buffer): Format['signature'] {
  const commands = file.readUInt32LE(16);
  for (let index = 0, at = 32; index < commands; index += 1, at += file.readUInt32LE(at + 4)) {
    if (file.readUInt32LE(at) === LC_CODE_SIGNATURE) return judge(file, file.readUInt32LE(at + 8));
  }
  return 'none';
}

function judge(file: Buffer, signature: number): Format['signature'] {
  const blobs = file.readUInt32BE(signature + 8);
  for (let index = 0; index < blobs; index += 1) {
    const directory = signature + file.readUInt32BE(signature + 12 + index * 8 + 4);
    if (file.readUInt32BE(directory) === CODE_DIRECTORY) return arePagesIntact(file, directory) ? 'intact' : 'broken';
  }
  return 'none';
}

function arePagesIntact(file: Buffer, directory: number): boolean {
  const hashes = directory + file.readUInt32BE(directory + 16);
  const pages = file.readUInt32BE(directory + 28);
  const limit = file.readUInt32BE(directory + 32);
  const hashBytes = file.readUInt8(directory + 36);
  const pageBytes = 2 ** file.readUInt8(directory + 39);
  for (let page = 0; page < pages; page += 1) {
    const content = file.subarray(page * pageBytes, Math.min((page + 1) * pageBytes, limit));
    const found = createHash('sha256').update(content).digest().subarray(0, hashBytes);
    if (!found.equals(file.subarray(hashes + page * hashBytes, hashes + (page + 1) * hashBytes))) return false;
  }
  return true;
}
