/**
 * Completion for bash 3.2 and later, without the bash-completion package.
 */
import { type Place, type Value, valueFlags } from './tree.ts';

/** Assigns what may follow: `words` and `flags` are offered, `files` adds file names. */
export function bashScript(places: readonly Place[]): string {
  const commands = places.flatMap(({ path, subcommands }) => subcommands.map(({ name }) => `'${path}:${name}'`));
  return `_aritma_sidecar() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} path='' words='' flags='' files='' i
  COMPREPLY=()
  # Bash splits --flag=value at the equals sign.
  if [[ $cur == '=' ]]; then cur=''
  elif [[ $prev == '=' ]]; then prev=\${COMP_WORDS[COMP_CWORD - 2]}; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      ${valueFlags(places).join('|')})
        if [[ \${COMP_WORDS[i + 1]} == '=' ]]; then ((i += 2)); else ((i += 1)); fi
        continue ;;
    esac
    case $path:\${COMP_WORDS[i]} in
      ${commands.join('|')})
        path="\${path:+$path }\${COMP_WORDS[i]}" ;;
    esac
  done
  case $prev in
${valueCases(places).join('\n')}
    *)
      case $path in
${places.map(placeCase).join('\n')}
      esac ;;
  esac
  if [[ $cur == -* ]]; then words=$flags; fi
  if [[ -n $files && $cur != -* ]]; then
    while IFS= read -r i; do COMPREPLY+=("$i"); done < <(compgen -f -- "$cur")
    compopt -o filenames 2>/dev/null
  else
    while IFS= read -r i; do COMPREPLY+=("$i"); done < <(compgen -W "\${words:-$flags}" -- "$cur")
  fi
}
complete -F _aritma_sidecar aritma-sidecar
`;
}

/** The cases where the word before the cursor is a flag with a value. */
function valueCases(places: readonly Place[]): string[] {
  const flags = places.flatMap((place) => place.flags);
  const byValue = Map.groupBy(flags, ({ value }) => value && assignment(value));
  byValue.delete(undefined);
  return [...byValue].map(([completion, each]) => {
    const names = new Set(each.flatMap((flag) => flag.names));
    return `    ${[...names].join('|')}) ${completion || 'return'} ;;`;
  });
}

function placeCase({ path, subcommands, flags, operand }: Place): string {
  const names = flags.flatMap(({ names }) => names).join(' ');
  const words = subcommands.map(({ name }) => name).join(' ');
  const offered = operand ? assignment(operand) : words && `words='${words}'`;
  return `        '${path}') flags='${names}'${offered && ` ${offered}`} ;;`;
}

function assignment(value: Value): string {
  if (value.kind === 'choice') return `words='${value.choices.join(' ')}'`;
  return value.kind === 'file' ? 'files=1' : '';
}
