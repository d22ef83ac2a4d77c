/**
 * Completion for zsh: one function per command, each a call of zsh's own `_arguments`.
 */
import type { Flag, Place, Value } from './tree.ts';

export function zshScript(places: readonly Place[]): string {
  return `
${places.map(functionOf).join('\n')}
# As a file in $fpath it runs at the first TAB; sourced, it registers itself.
if [[ $funcstack[1] == _aritma-sidecar ]]; then _aritma-sidecar "$@"; else compdef _aritma-sidecar aritma-sidecar; fi
`;
}

function functionOf(place: Place): string {
  const { path, subcommands, flags, operand } = place;
  const specs = flags.flatMap(flagSpecs);
  if (subcommands.length === 0) {
    const rest = operand ? [`'*:argument:${action(operand)}'`] : [];
    return `${nameOf(path)}() {\n  _arguments \\\n    ${[...specs, ...rest].join(' \\\n    ')}\n}`;
  }
  const cases = subcommands.map(({ name }) => `      ${name}) ${nameOf(`${path} ${name}`.trim())} ;;`);
  return `${nameOf(path)}() {
  local curcontext=$curcontext state line
  typeset -A opt_args
  _arguments -C \\
    ${[...specs, "'1: :->command'", "'*:: :->rest'"].join(' \\\n    ')}
  case $state in
    command)
      local -a commands
      commands=(
        ${subcommands.map(({ name, about }) => quoted(`${name}:${about}`)).join('\n        ')}
      )
      _describe -t commands command commands ;;
    rest)
      case $words[1] in
${cases.join('\n')}
      esac ;;
  esac
}`;
}

/** One per name; a value may follow after a space or an equals sign. */
function flagSpecs({ names, about, value }: Flag): string[] {
  const explanation = `[${about.replace(/[\\[\]:]/g, '\\$&')}]`;
  return names.map((name) => {
    const takes = value ? `${name.startsWith('--') ? '=' : ''}${explanation}:value:${action(value)}` : explanation;
    return quoted(`*${name}${takes}`);
  });
}

function action(value: Value): string {
  if (value.kind === 'choice') return `(${value.choices.join(' ')})`;
  return value.kind === 'file' ? '_files' : ' ';
}

function nameOf(path: string): string {
  return ['_aritma-sidecar', ...path.split(' ').filter(Boolean)].join('-');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
