/** The names in a PromQL expression: metrics, the labels that it matches, and the labels that it groups and joins by. */

export interface Matcher {
  readonly label: string;
  readonly value: string;
}

export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
}

export interface Names {
  readonly selectors: readonly Selector[];
  /** In `by`, `without`, `on`, `ignoring`, `group_left` and `group_right`. */
  readonly grouping: readonly string[];
}

const TOKEN = /"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[a-zA-Z_:][\w:]*|\d[\w.]*|[=!]~|[<>=!]=|\S/g;
const GROUPING = new Set(['by', 'without', 'on', 'ignoring', 'group_left', 'group_right']);
const KEYWORDS = new Set(['and', 'or', 'unless', 'offset', 'bool']);

/** Classifies names by the text around them; does not check whether the expression is valid. */
export function namesIn(expression: string): Names {
  const tokens: readonly string[] = expression.match(TOKEN) ?? [];
  const selectors: Selector[] = [];
  const grouping: string[] = [];
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at] ?? '';
    const next = tokens[at + 1];
    if (!/^[a-zA-Z_:]/.test(token) || KEYWORDS.has(token)) continue;
    const end = tokens.indexOf(next === '{' ? '}' : ')', at);
    const inner = tokens.slice(at + 2, end);
    if (GROUPING.has(token) && next === '(') {
      grouping.push(...inner.filter((name) => name !== ','));
      at = end;
    } else if (next === '{') {
      selectors.push({ metric: token, matchers: matchersIn(inner) });
      at = end;
    } else if (next !== '(' && !GROUPING.has(next ?? '')) selectors.push({ metric: token, matchers: [] });
  }
  return { selectors, grouping };
}

/** `label`, operator, quoted value, and commas between. */
function matchersIn(tokens: readonly string[]): Matcher[] {
  return tokens.flatMap((token, index) =>
    token.startsWith('"') ? { label: tokens[index - 2] ?? '', value: JSON.parse(token) as string } : [],
  );
}
