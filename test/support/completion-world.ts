/** What the completion of every shell has to offer, from the commands as commander knows them, and a folder to try it in. */

import { placesOf } from '../../src/cli/completion/tree.ts';
import { createProgram } from '../../src/cli/program.ts';
import { run } from './cli.ts';
import { createFolder, type Folder } from './folder.ts';

export const PLACES = placesOf(createProgram({ exit: () => undefined }));

const namesAt = (path: string) =>
  PLACES.find((place) => place.path === path)?.subcommands.map(({ name }) => name) ?? [];

/** What stands on the command line before TAB is pressed, and everything that is offered. */
export const OFFERED: readonly (readonly [line: string, offered: readonly string[]])[] = [
  ['', namesAt('')],
  ['che', ['check']],
  ['iam ', namesAt('iam')],
  ['iam cl', ['clients']],
  ['iam clients ', namesAt('iam clients')],
  ['config p', ['print']],
  ['completion ', ['bash', 'zsh', 'fish', 'powershell']],
  ['check --no', ['--no-upstream']],
  ['iam clients create --env', ['--environment']],
  ['--environment ', ['dev', 'prod', 'emulator', 'none']],
  ['iam clients list --environment e', ['emulator']],
  ['wait --for ', ['ready', 'started', 'live']],
  ['emulate --iam-responses ', ['body', 'empty']],
  ['serve --client-id ', []],
  // The value of a flag is no command, whatever it is.
  ['--config check i', ['iam']],
  ['--config my', ['my-config.yaml']],
  ['serve --client-secret-file my', ['my-config.yaml']],
  ['iam provision -f my', ['my-config.yaml']],
  ['audit verify --json au', ['audit.log']],
];

/** A folder with files to complete, and the script as the program prints it. */
export async function createCompletionFolder(shell: string): Promise<Folder & { readonly script: string }> {
  const { code, stdout, stderr } = await run(['completion', shell]);
  if (code !== 0) throw new Error(`completion ${shell} ended with ${code}: ${stderr}`);
  const folder = createFolder();
  folder.write('my-config.yaml', '');
  folder.write('audit.log', '');
  return { ...folder, script: folder.write('script', stdout) };
}
