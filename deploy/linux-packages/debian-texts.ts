/** Texts that Debian's policy wants in a package, in the forms that it prescribes. */
import { manifestOf, packageVersion, type Release } from './release.ts';

export interface Control {
  /** Debian's name of the machine: `amd64`. */
  readonly architecture: string;
  /** KiB. */
  readonly installedSize: number;
  readonly dependencies: string;
}

export function controlText(release: Release, { architecture, installedSize, dependencies }: Control): string {
  const fields = {
    Package: 'aritma-sidecar',
    Version: debianVersion(release),
    Architecture: architecture,
    Maintainer: release.maintainer,
    'Installed-Size': String(installedSize),
    Depends: dependencies,
    Section: 'net',
    Priority: 'optional',
    ...(release.homepage === undefined ? {} : { Homepage: release.homepage }),
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\n`);
  return `${lines.join('')}Description: token-injecting reverse proxy for the Aritma APIs\n${folded(manifestOf().description)}`;
}

/** `1.0.0-1`. */
export function debianVersion(release: Release): string {
  return `${packageVersion(release)}-${release.revision}`;
}

/** One entry: the changes themselves are in changelog.gz. */
export function changelogText(release: Release): string {
  const date = release.date.toUTCString().replace('GMT', '+0000');
  return `aritma-sidecar (${debianVersion(release)}) stable; urgency=medium

  * Version ${release.version}; changelog.gz says what is new in it.

 -- ${release.maintainer}  ${date}
`;
}

export function copyrightText({ date }: Release): string {
  return `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: aritma-sidecar
Comment: The executable also contains Node.js and npm packages. THIRD-PARTY.txt.gz
 beside this file has the licence of each, sbom.cdx.json their versions.

Files: *
Copyright: ${date.getUTCFullYear()} the authors of aritma-sidecar
License: Apache-2.0

License: Apache-2.0
 Licensed under the Apache License, Version 2.0. You may not use these files
 except in compliance with the License.
 .
 On Debian systems, the full text is in /usr/share/common-licenses/Apache-2.0.
`;
}

/** At most 80 characters a line, each after a blank. */
function folded(text: string): string {
  const lines = text.match(/\S.{0,77}(?=\s|$)/g) ?? [];
  return lines.map((line) => ` ${line}\n`).join('');
}
