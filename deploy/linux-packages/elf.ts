/**
 * What a Linux executable asks of the system's libraries: their names, and the newest version of their symbols that it uses.
 * Read from the file itself, so a new Node cannot ask for more than the package says, and no tool is needed for a foreign
 * platform. 64 bits, little-endian: all that the executables are made for.
 */

/** Types of program headers and of entries of the dynamic section, as in the ELF specification. */
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_VERNEED = 0x6ffffffe;
const DT_VERNEEDNUM = 0x6fffffff;

export interface Library {
  /** `libc.so.6`. */
  readonly name: string;
  /** Versions of its symbols, `GLIBC_2.28`, in any order. */
  readonly versions: readonly string[];
}

/** @throws Error for what is not a 64-bit ELF file with a dynamic section */
export function librariesOf(file: Buffer): Library[] {
  if (file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2) throw new Error('not a 64-bit ELF file');
  const segments = segmentsOf(file);
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (!dynamic) throw new Error('not dynamically linked');
  const offsetOf = (address: number) => {
    const segment = segments.find(
      ({ type, start, size }) => type === PT_LOAD && address >= start && address < start + size,
    );
    if (!segment) throw new Error(`no segment holds the address ${address}`);
    return address - segment.start + segment.offset;
  };
  const entries = entriesOf(file, dynamic.offset, dynamic.size);
  const entry = (wanted: number) => entries.find(({ tag }) => tag === wanted)?.value ?? 0;
  const strings = offsetOf(entry(DT_STRTAB));
  const textAt = (at: number) => file.toString('latin1', strings + at, file.indexOf(0, strings + at));
  const versions = versionsOf(file, offsetOf(entry(DT_VERNEED)), entry(DT_VERNEEDNUM));
  return entries
    .filter(({ tag }) => tag === DT_NEEDED)
    .map(({ value }) => textAt(value))
    .map((name) => ({
      name,
      versions: versions.filter((each) => textAt(each.file) === name).map((each) => textAt(each.version)),
    }));
}

interface Segment {
  readonly type: number;
  readonly offset: number;
  /** Address in memory. */
  readonly start: number;
  readonly size: number;
}

function segmentsOf(file: Buffer): Segment[] {
  const table = Number(file.readBigUInt64LE(32));
  const size = file.readUInt16LE(54);
  return Array.from({ length: file.readUInt16LE(56) }, (_, index) => {
    const at = table + index * size;
    return {
      type: file.readUInt32LE(at),
      offset: Number(file.readBigUInt64LE(at + 8)),
      start: Number(file.readBigUInt64LE(at + 16)),
      size: Number(file.readBigUInt64LE(at + 32)),
    };
  });
}

function entriesOf(file: Buffer, offset: number, size: number): { readonly tag: number; readonly value: number }[] {
  return Array.from({ length: size / 16 }, (_, index) => {
    const at = offset + index * 16;
    return { tag: Number(file.readBigInt64LE(at)), value: Number(file.readBigUInt64LE(at + 8)) };
  });
}

/** Names as offsets in the table of strings. Two chained lists: one of files, and one of versions for each of them. */
function versionsOf(
  file: Buffer,
  offset: number,
  files: number,
): { readonly file: number; readonly version: number }[] {
  const found: { file: number; version: number }[] = [];
  for (let need = offset, left = files; left > 0; need += file.readUInt32LE(need + 12), left -= 1) {
    let at = need + file.readUInt32LE(need + 8);
    for (let count = file.readUInt16LE(need + 2); count > 0; count -= 1) {
      found.push({ file: file.readUInt32LE(need + 4), version: file.readUInt32LE(at + 8) });
      at += file.readUInt32LE(at + 12);
    }
  }
  return found;
}
