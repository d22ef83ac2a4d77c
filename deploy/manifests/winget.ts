/** The three manifests of winget, schema 1.6: version, installer and texts. The executable itself is the installer. */
import type { ReleasePage } from './release-page.ts';

const SCHEMA = '1.6.0';
const LOCALE = 'en-US';

/** Contents of the files by name. @throws Error when the release has no executable for Windows */
export function wingetManifests(page: ReleasePage): ReadonlyMap<string, string> {
  const identifier = `${page.owner}.AritmaSidecar`;
  const common = { PackageIdentifier: identifier, PackageVersion: page.version };
  const end = (type: string) => ({ ManifestType: type, ManifestVersion: SCHEMA });
  const asset = page.asset('aritma-sidecar-win-x64.exe');
  const installer = {
    ...common,
    Platform: ['Windows.Desktop'],
    MinimumOSVersion: '10.0.0.0',
    InstallerType: 'portable',
    Commands: ['aritma-sidecar'],
    ReleaseDate: page.date,
    Installers: [{ Architecture: 'x64', InstallerUrl: asset.url, InstallerSha256: asset.sha256.toUpperCase() }],
    ...end('installer'),
  };
  const texts = {
    ...common,
    PackageLocale: LOCALE,
    Publisher: page.owner,
    PackageName: 'aritma-sidecar',
    PackageUrl: page.home,
    License: 'Apache-2.0',
    LicenseUrl: page.asset('LICENSE').url,
    ShortDescription: page.description,
    Moniker: 'aritma-sidecar',
    ReleaseNotesUrl: page.notes,
    ...end('defaultLocale'),
  };
  return new Map([
    [`${identifier}.yaml`, yaml('version', { ...common, DefaultLocale: LOCALE, ...end('version') })],
    [`${identifier}.installer.yaml`, yaml('installer', installer)],
    [`${identifier}.locale.${LOCALE}.yaml`, yaml('defaultLocale', texts)],
  ]);
}

/** JSON is YAML; one field in a line is what the reviewers of winget's repository read. */
function yaml(kind: string, fields: object): string {
  const head = `# yaml-language-server: $schema=https://aka.ms/winget-manifest.${kind}.${SCHEMA}.schema.json\n`;
  return (
    head +
    Object.entries(fields)
      .map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`)
      .join('')
  );
}
