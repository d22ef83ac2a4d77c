/**
 * Completion for PowerShell 5.1 and later: a table of places and one native argument completer.
 */
import { type Place, type Value, valueFlags } from './tree.ts';

export function powershellScript(places: readonly Place[]): string {
  return `Register-ArgumentCompleter -Native -CommandName 'aritma-sidecar' -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $places = @{
${places.map(entry).join('\n')}
  }
  $takesValue = ${list(valueFlags(places))}
  $path = ''; $flag = ''
  foreach ($element in $commandAst.CommandElements | Select-Object -Skip 1) {
    # The word under the cursor ends there; those before it decide.
    if ($element.Extent.EndOffset -ge $cursorPosition) { break }
    $word = $element.Extent.Text
    if ($flag) { $flag = '' }
    elseif ($takesValue -ccontains $word) { $flag = $word }
    elseif ($places[$path].Commands.Contains($word)) { $path = "$path $word".Trim() }
  }
  $place = $places[$path]
  # Without a result, PowerShell completes file names.
  if ($flag) { $found = $place.Choices[$flag] }
  elseif ($wordToComplete -like '-*') { $found = $place.Flags }
  elseif ($place.Commands.Count -gt 0) { $found = $place.Commands }
  else { $found = $place.Operand }
  if ($null -eq $found) { return }
  $found.GetEnumerator() | Where-Object { $_.Key -like "$wordToComplete*" } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_.Key, $_.Key, 'ParameterValue', $_.Value)
  }
}
`;
}

function entry({ path, subcommands, flags, operand }: Place): string {
  const names = flags.flatMap(({ names, about }) => names.map((name) => [name, about] as const));
  const values = flags.flatMap(({ names, value }) =>
    value?.kind === 'choice' ? names.map((name) => `${quoted(name)} = ${choices(value)}`) : [],
  );
  return `    ${quoted(path)} = @{
      Commands = ${table(subcommands.map(({ name, about }) => [name, about]))}
      Flags = ${table(names)}
      Choices = @{ ${values.join('; ')} }
      Operand = ${choices(operand)}
    }`;
}

function choices(value: Value | undefined): string {
  return value?.kind === 'choice' ? table(value.choices.map((choice) => [choice, choice])) : '$null';
}

function table(rows: readonly (readonly [key: string, value: string])[]): string {
  return `[ordered]@{ ${rows.map(([key, value]) => `${quoted(key)} = ${quoted(value)}`).join('; ')} }`;
}

function list(words: readonly string[]): string {
  return `@(${words.map(quoted).join(', ')})`;
}

function quoted(text: string): string {
  // PowerShell takes typographic apostrophes for quotes, too.
  return `'${text.replace(/['‘’]/g, '$&$&')}'`;
}
