/**
 * A completion script per shell. The scripts are static: pressing TAB starts no program. Each one finds the command that the
 * words before the cursor name, skips values of flags on the way, and offers what may follow.
 */
import type { Command } from 'commander';
import { bashScript } from './bash.ts';
import { fishScript } from './fish.ts';
import { powershellScript } from './powershell.ts';
import { type Place, placesOf } from './tree.ts';
import { zshScript } from './zsh.ts';

const SCRIPTS: Readonly<Record<string, (places: readonly Place[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
  powershell: powershellScript,
};

const INSTALL: Readonly<Record<string, string>> = {
  bash: 'add to ~/.bashrc: source <(aritma-sidecar completion bash)',
  zsh: 'add to ~/.zshrc, below compinit: source <(aritma-sidecar completion zsh)',
  fish: 'save as ~/.config/fish/completions/aritma-sidecar.fish',
  powershell: 'add to $PROFILE: aritma-sidecar completion powershell | Out-String | Invoke-Expression',
};

/** Writes the script for a shell to standard output. Resolves once it is written. */
export async function printCompletion(program: Command, shell: string): Promise<void> {
  const { promise: written, resolve } = Promise.withResolvers<void>();
  process.stdout.write(completionScript(program, shell), () => resolve());
  await written;
}

function completionScript(program: Command, shell: string): string {
  const write = SCRIPTS[shell];
  if (!write) throw new Error(`no completion for ${shell}`);
  const note = `# Completion of aritma-sidecar for ${shell}. To install it, ${INSTALL[shell]}\n`;
  // The first line of a zsh completion must be #compdef.
  return shell === 'zsh'
    ? `#compdef aritma-sidecar\n${note}${write(placesOf(program))}`
    : note + write(placesOf(program));
}
