/** The Windows service as far as it can be judged elsewhere: by its text. No script is run here. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TARGETS } from '../../deploy/executable/targets.ts';
import { createProgram } from '../../src/cli/program.ts';
import { loadConfig } from '../../src/config/load.ts';
import { ERRORS } from '../../src/core/errors.ts';
import { createFolder } from '../support/folder.ts';

const FOLDER = join(import.meta.dirname, '../../deploy/windows');
const text = (name: string) => readFileSync(join(FOLDER, name), 'utf8');
const service = text('aritma-sidecar.xml');
const install = text('install.ps1');
const element = (name: string) => new RegExp(`<${name}>([^<]*)</${name}>`).exec(service)?.[1] ?? '';

describe('the Windows service', () => {
  it('starts, and stops, the executable of the release with commands it has', () => {
    const file = TARGETS['win-x64']?.file ?? 'none';
    expect([element('executable'), element('stopexecutable')]).toEqual([`%BASE%\\${file}`, `%BASE%\\${file}`]);
    expect(install).toContain(`'${file}'`);
    const names = createProgram({ exit: () => undefined as never }).commands.map((command) => command.name());
    for (const name of ['arguments', 'stoparguments']) expect(names).toContain(element(name).split(' ')[0]);
  });

  it('has a configuration that is valid and can be stopped over the pipe that its stop command uses', () => {
    using folder = createFolder();
    folder.write('secret', 'not-a-real-one');
    const yaml = text('aritma-sidecar.yaml').replace('..\\secret\\aritma', join(folder.path, 'secret'));
    const { config } = loadConfig({ env: {}, file: folder.write('config.yaml', yaml), cwd: folder.path });
    const pipe = config.admin.find((address) => address.kind === 'unix');
    expect(element('stoparguments')).toBe(`shutdown --admin unix:${pipe?.path}`);
    // Over TCP every local user could stop it.
    expect(config.adminActions).toBe(false);
  });

  it('is given more time to stop than it takes to drain', () => {
    const { config } = loadConfig({
      env: { ARITMA_ENVIRONMENT: 'emulator', ARITMA_CLIENT_ID: 'x', ARITMA_CLIENT_SECRET: 'y' },
    });
    expect(Number.parseInt(element('stoptimeout'), 10) * 1000).toBeGreaterThan(config.drain.limit);
  });

  it('has its logs set aside by size', () => {
    expect(service).toMatch(
      /<log mode="roll-by-size">\s*<sizeThreshold>\d+<\/sizeThreshold>\s*<keepFiles>\d+<\/keepFiles>/,
    );
    expect(element('logpath')).toBe('%BASE%\\logs');
  });
});

describe('the scripts for Windows', () => {
  it('close the folders of secret and configuration to everybody not named, before the secret is written', () => {
    expect(install).toMatch(/'\/inheritance:r', '\/grant:r'/);
    const [closed, written] = [
      install.indexOf("foreach ($folder in @('config', 'secret', 'audit', 'logs'))"),
      install.indexOf('Write-Secret $secret'),
    ];
    expect(closed).toBeGreaterThan(0);
    expect(written).toBeGreaterThan(closed);
    // Users of the machine get to the programs and to nothing else.
    expect(install.match(/\$\{Users\}/g)).toHaveLength(1);
  });

  it('take the secret from the keyboard and never from an argument', () => {
    expect(install).toContain('Read-Host -AsSecureString');
    expect(/param\(([\s\S]*?)\n\)/.exec(install)?.[1]).not.toMatch(/secret/i);
  });

  it('asks for a secret again that is refused, which is not kept, and shows what is wrong of a service that does not serve', () => {
    const { exit } = ERRORS.CREDENTIALS_REJECTED;
    const again = /while \(\(Invoke-Doctor\) -eq (\d+)\) \{([^}]*)\}/.exec(install);
    expect(Number(again?.[1])).toBe(exit);
    expect(again?.[2]).toMatch(/Remove-Item -Force \$secret[\s\S]*Write-Secret \$secret/);
    expect(install).toMatch(/wait --admin [^\n]*\nif \(\$LASTEXITCODE -ne 0\) \{\s*Invoke-Doctor/);
    expect(install).toMatch(/function Invoke-Doctor \{[^}]*& \$program check --config \$config \| Out-Host/);
  });

  it.each(['install.ps1', 'uninstall.ps1'])('%s stops at the first error and leaves no bracket open', (name) => {
    const script = text(name);
    expect(script).toContain("$ErrorActionPreference = 'Stop'");
    const code = script
      .replace(/<#[\s\S]*?#>/g, '')
      .replace(/^\s*#.*$/gm, '')
      .replace(/'[^']*'/g, "''");
    for (const [open = '', close = ''] of ['()', '{}', '[]']) {
      expect(code.split(open).length, `${open}${close}`).toBe(code.split(close).length);
    }
  });
});
