/**
 * Completion for fish: one `complete` line per subcommand, flag and operand, each for the command it belongs to.
 */
import { type Flag, type Place, type Value, valueFlags } from './tree.ts';

export function fishScript(places: readonly Place[]): string {
  const commands = places.flatMap(({ path, subcommands }) => subcommands.map(({ name }) => quoted(`${path}:${name}`)));
  return `# Whether the words before the cursor name this command.
function __aritma_sidecar_at
    set -l path
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word ${valueFlags(places).join(' ')}
            set skip 1
        else if contains -- "$path:$word" ${commands.join(' ')}
            set path (string trim "$path $word")
        end
    end
    test "$path" = "$argv"
end
complete -c aritma-sidecar -f
${places.flatMap(linesOf).join('\n')}
`;
}

function linesOf({ path, subcommands, flags, operand }: Place): string[] {
  const start = `complete -c aritma-sidecar -n ${quoted(`__aritma_sidecar_at ${path}`.trim())}`;
  return [
    ...subcommands.map(({ name, about }) => `${start} -a ${name} -d ${quoted(about)}`),
    ...flags.map((flag) => `${start} ${flagWords(flag)} -d ${quoted(flag.about)}`),
    ...(operand && operand.kind !== 'text' ? [`${start} ${valueWords(operand, '')}`] : []),
  ];
}

function flagWords({ names, value }: Flag): string {
  const words = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  return [...words, ...(value ? [valueWords(value, '-r ')] : [])].join(' ');
}

/** @param required `-r ` for a flag, which takes the next word */
function valueWords(value: Value, required: '' | '-r '): string {
  if (value.kind === 'choice') return `${required}-f -a ${quoted(value.choices.join(' '))}`;
  return `${required}${value.kind === 'file' ? '-F' : '-f'}`;
}

function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
