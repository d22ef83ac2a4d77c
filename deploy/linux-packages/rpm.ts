/** An RPM package, with rpmbuild and a generated spec. */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PackageInput } from './deb.ts';
import { manifestOf, packageVersion, type Release } from './release.ts';
import { runAt, scriptText, stage } from './staging.ts';
import type { Entry } from './tree.ts';

const SCRIPTS = ['pre', 'post', 'preun', 'postun'];

/** Returns the name of the file that it writes into `out`. */
export async function buildRpm(input: PackageInput): Promise<string> {
  const { entries, release, architecture, isFast, work, out } = input;
  const [staged, top] = [join(work, 'staged'), join(work, 'top')];
  await mkdir(top, { recursive: true });
  await stage(staged, entries);
  const spec = join(work, 'aritma-sidecar.spec');
  const texts = await Promise.all(SCRIPTS.map(async (name) => [name, await scriptText(`rpm/${name}`)] as const));
  await writeFile(spec, specText(release, entries, new Map(texts)));
  const name = `aritma-sidecar-${packageVersion(release)}-${release.revision}.${architecture}.rpm`;
  const macros = {
    _topdir: top,
    _rpmdir: work,
    _rpmfilename: name,
    staged,
    // Strip would take the program out of the executable; the rest would put something in that is not this package's.
    __os_install_post: '%{nil}',
    debug_package: '%{nil}',
    _build_id_links: 'none',
    _binary_payload: isFast ? 'w1.gzdio' : 'w6.xzdio',
    // The same input gives the same bytes.
    _buildhost: 'reproducible',
    use_source_date_epoch_as_buildtime: '1',
    clamp_mtime_to_source_date_epoch: '1',
  };
  const defines = Object.entries(macros).flatMap(([macro, value]) => ['--define', `${macro} ${value}`]);
  await runAt(release.date, 'rpmbuild', ['-bb', '--target', `${architecture}-linux`, ...defines, spec]);
  await rename(join(work, name), join(out, name));
  return name;
}

function specText(release: Release, entries: readonly Entry[], scripts: ReadonlyMap<string, string>): string {
  return `Name: aritma-sidecar
Version: ${packageVersion(release)}
Release: ${release.revision}
Summary: Token-injecting reverse proxy for the Aritma APIs
License: Apache-2.0
Vendor: ${escaped(release.maintainer)}
Packager: ${escaped(release.maintainer)}
${release.homepage === undefined ? '' : `URL: ${escaped(release.homepage)}\n`}
%description
${escaped(manifestOf().description)}

%install
cp -a %{staged}/. %{buildroot}

${[...scripts].map(([name, text]) => `%${name}\n${escaped(withoutShebang(text))}`).join('\n')}
%files
%dir %attr(0755, root, root) /etc/aritma-sidecar
%dir %attr(0755, root, root) /usr/share/aritma-sidecar
${entries.map(fileLine).join('\n')}
`;
}

function fileLine({ path, mode, isConfig = false }: Entry): string {
  const kind = [
    ...(isConfig ? ['%config(noreplace)'] : []),
    ...(path.startsWith('/usr/share/doc/') ? ['%doc'] : []),
    ...(path.startsWith('/usr/share/licenses/') ? ['%license'] : []),
  ];
  return [...kind, `%attr(0${mode.toString(8)}, root, root)`, path].join(' ');
}

/** RPM runs it with /bin/sh anyway. */
function withoutShebang(script: string): string {
  return script.replace(/^#!.*\n/, '');
}

function escaped(text: string): string {
  return text.replaceAll('%', '%%');
}
