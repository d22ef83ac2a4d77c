/** A release as others find it: where its files are, and their SHA-256. */

export interface Asset {
  readonly url: string;
  readonly sha256: string;
}

export interface ReleasePage {
  readonly version: string;
  readonly description: string;
  /** Who publishes it: the first part of the repository's name. */
  readonly owner: string;
  /** The repository's address. */
  readonly home: string;
  readonly notes: string;
  /** `2026-01-31`. */
  readonly date: string;
  /** @throws Error when the sums do not have this file */
  asset(name: string): Asset;
}

export interface PageInput {
  readonly version: string;
  readonly description: string;
  /** `https://HOST/OWNER/NAME`. */
  readonly repository: string;
  /** Contents of SHA256SUMS. */
  readonly sums: string;
  readonly date: Date;
}

/** @throws Error for an address without owner and name */
export function releasePage({ version, description, repository, sums, date }: PageInput): ReleasePage {
  const [, owner] = /^https:\/\/[^/]+\/([\w-]+)\/[\w.-]+$/.exec(repository) ?? [];
  if (owner === undefined) throw new Error(`${repository} is not the address of a repository: https://HOST/OWNER/NAME`);
  const lines = [...sums.matchAll(/^([0-9a-f]{64}) [ *](\S+)$/gm)];
  const found = new Map(lines.map(([, sum = '', name = '']) => [name, sum]));
  return {
    ...{ version, description, owner, home: repository },
    notes: `${repository}/releases/tag/v${version}`,
    date: date.toISOString().slice(0, 10),
    asset(name) {
      const sha256 = found.get(name);
      if (sha256 === undefined) throw new Error(`SHA256SUMS has no line for ${name}`);
      return { url: `${repository}/releases/download/v${version}/${name}`, sha256 };
    },
  };
}
