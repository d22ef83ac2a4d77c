/** What is written for winget and Homebrew at a release, held to winget's published schema and to Ruby where there is one. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { TARGETS } from '../../deploy/executable/targets.ts';
import { homebrewFormula } from '../../deploy/manifests/homebrew.ts';
import { releasePage } from '../../deploy/manifests/release-page.ts';
import { wingetManifests } from '../../deploy/manifests/winget.ts';
import { createFolder } from '../support/folder.ts';

const ROOT = join(import.meta.dirname, '../..');
const NAMES = [...Object.values(TARGETS).map(({ file }) => file), 'LICENSE', 'aritma-sidecar.1'];
const sumOf = (name: string) => NAMES.indexOf(name).toString(16).padStart(64, 'a');
const INPUT = {
  version: '1.2.3',
  description: 'A proxy.',
  repository: 'https://code.example/the-owner/aritma-sidecar',
  sums: NAMES.map((name) => `${sumOf(name)}  ${name}\n`).join(''),
  date: new Date('2026-01-31T12:00:00Z'),
};
const PAGE = releasePage(INPUT);
const DOWNLOADS = 'https://code.example/the-owner/aritma-sidecar/releases/download/v1.2.3';
const hasRuby = spawnSync('ruby', ['--version']).status === 0;

/**
 * The fields that are used here, as microsoft/winget-cli prescribes them in schemas/JSON/manifests/v1.6.0/
 * manifest.{version,installer,defaultLocale}.1.6.0.json.
 */
const url = z
  .string()
  .regex(/^https?:\/\/.+$/i)
  .max(2048);
const locale = z
  .string()
  .regex(/^([a-zA-Z]{2,3}|[iI]-[a-zA-Z]+|[xX]-[a-zA-Z]{1,8})(-[a-zA-Z]{1,8})*$/)
  .max(20);
const WINGET_PART = String.raw`[^.\s\\/:*?"<>|\x01-\x1f]{1,32}`;
const common = {
  PackageIdentifier: z
    .string()
    .regex(new RegExp(`^${WINGET_PART}(\\.${WINGET_PART}){1,7}$`))
    .max(128),
  PackageVersion: z
    .string()
    .regex(/^[^\\/:*?"<>|]+$/)
    .max(128),
  ManifestVersion: z.literal('1.6.0'),
};
const SCHEMAS: Readonly<Record<string, z.ZodType>> = {
  'the-owner.AritmaSidecar.yaml': z.strictObject({
    ...common,
    DefaultLocale: locale,
    ManifestType: z.literal('version'),
  }),
  'the-owner.AritmaSidecar.installer.yaml': z.strictObject({
    ...common,
    Platform: z.array(z.enum(['Windows.Desktop', 'Windows.Universal'])).max(2),
    MinimumOSVersion: z.string().regex(/^\d{1,5}(\.\d{1,5}){0,3}$/),
    InstallerType: z.enum(['msix', 'msi', 'appx', 'exe', 'zip', 'inno', 'nullsoft', 'wix', 'burn', 'pwa', 'portable']),
    Commands: z.array(z.string().min(1).max(40)).max(16),
    ReleaseDate: z.iso.date(),
    Installers: z
      .array(
        z.strictObject({
          Architecture: z.enum(['x86', 'x64', 'arm', 'arm64', 'neutral']),
          InstallerUrl: url,
          InstallerSha256: z.string().regex(/^[A-Fa-f0-9]{64}$/),
        }),
      )
      .min(1),
    ManifestType: z.literal('installer'),
  }),
  'the-owner.AritmaSidecar.locale.en-US.yaml': z.strictObject({
    ...common,
    PackageLocale: locale,
    Publisher: z.string().min(2).max(256),
    PackageName: z.string().min(2).max(256),
    PackageUrl: url,
    License: z.string().min(3).max(512),
    LicenseUrl: url,
    ShortDescription: z.string().min(3).max(256),
    Moniker: z.string().min(1).max(40),
    ReleaseNotesUrl: url,
    ManifestType: z.literal('defaultLocale'),
  }),
};

describe('deploy/manifests/winget.ts', () => {
  const manifests = wingetManifests(PAGE);

  it.each(Object.entries(SCHEMAS))('writes %s as the schema 1.6.0 wants it', (name, schema) => {
    expect(() => schema.parse(parse(manifests.get(name) ?? ''))).not.toThrow();
  });

  it('writes these three files and no other', () => {
    expect([...manifests.keys()].sort()).toEqual(Object.keys(SCHEMAS).sort());
  });

  it('names the executable for Windows with the sum of the release', () => {
    const installer = parse(manifests.get('the-owner.AritmaSidecar.installer.yaml') ?? '') as { Installers: unknown };
    expect(installer).toMatchObject({
      InstallerType: 'portable',
      Commands: ['aritma-sidecar'],
      PackageVersion: '1.2.3',
    });
    const InstallerSha256 = sumOf('aritma-sidecar-win-x64.exe').toUpperCase();
    expect(installer.Installers).toEqual([
      { Architecture: 'x64', InstallerUrl: `${DOWNLOADS}/aritma-sidecar-win-x64.exe`, InstallerSha256 },
    ]);
  });

  it('has a description of package.json that is short enough', () => {
    const { description } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { description: string };
    expect(description.length).toBeLessThanOrEqual(256);
  });
});

describe('deploy/manifests/homebrew.ts', () => {
  const formula = homebrewFormula(PAGE);

  it('names every executable that is not for Windows, and the man page, each with its sum', () => {
    const pairs = [...formula.matchAll(/url "([^"]+)"\n\s+sha256 "([^"]+)"/g)].map(([, from, sum]) => [from, sum]);
    const wanted = NAMES.filter((name) => !/\.exe$|^LICENSE$/.test(name));
    expect(pairs.sort()).toEqual(wanted.map((name) => [`${DOWNLOADS}/${name}`, sumOf(name)]).sort());
  });

  it('has nothing in a text that Ruby would run', () => {
    const text = homebrewFormula({ ...PAGE, home: 'https://code.example/#{exit}/"x' });
    expect(text).toContain(String.raw`homepage "https://code.example/\#{exit}/\"x"`);
  });

  it.skipIf(!hasRuby)('is Ruby', () => {
    using folder = createFolder();
    const file = folder.write('aritma-sidecar.rb', formula);
    expect(spawnSync('ruby', ['-wc', file], { encoding: 'utf8' })).toMatchObject({ stdout: 'Syntax OK\n', stderr: '' });
  });
});

describe('deploy/manifests/build.ts', () => {
  const build = (...args: readonly string[]) =>
    spawnSync(process.execPath, [join(ROOT, 'deploy/manifests/build.ts'), ...args], {
      encoding: 'utf8',
      env: { ...process.env, SOURCE_DATE_EPOCH: '1767225600' },
    });

  it('writes the files of both, which are files of the release', () => {
    using folder = createFolder();
    const sums = folder.write('SHA256SUMS', INPUT.sums);
    const { status, stdout } = build(
      '--repository',
      INPUT.repository,
      '--sums',
      sums,
      '--out',
      join(folder.path, 'out'),
    );
    expect([status, stdout.trim().split('\n').sort()]).toEqual([
      0,
      ['aritma-sidecar.rb', ...Object.keys(SCHEMAS)].sort(),
    ]);
    expect(readFileSync(join(folder.path, 'out/the-owner.AritmaSidecar.installer.yaml'), 'utf8')).toContain(
      '2026-01-01',
    );
  });

  it('refuses sums without one of the executables, an address without an owner, and a command without flags', () => {
    const page = releasePage({ ...INPUT, sums: `${'a'.repeat(64)}  LICENSE\n` });
    expect(() => wingetManifests(page)).toThrow('SHA256SUMS has no line for aritma-sidecar-win-x64.exe');
    expect(() => releasePage({ ...INPUT, repository: 'https://code.example' })).toThrow('https://HOST/OWNER/NAME');
    expect(build()).toMatchObject({ status: 2, stderr: expect.stringContaining('usage: ') });
  });
});
