/** The pages as they are: their configurations load, their JSON parses, their markers say what they mean. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { describeWithOpenssl, makeCertificates } from '../support/certificates.ts';
import { markerProblems } from '../support/doc-blocks.ts';
import { configProblems } from '../support/doc-config.ts';
import { MARKDOWN_FILES, parsePage } from '../support/markdown.ts';

const PAGES = MARKDOWN_FILES.map((path) => parsePage(path, readFileSync(path, 'utf8')));
const text = (problems: readonly string[]) => problems.join('\n');

describe.each(PAGES)('$path', (page) => {
  it('has only markers that a test understands, each with its reason', () => {
    expect(text(markerProblems(page))).toBe('');
  });
});

describeWithOpenssl('the configurations in the pages', () => {
  const certificates = makeCertificates(() => ({}));
  const problems = (path: string, markdown: string) =>
    configProblems(parsePage(path, markdown), certificates().authority);
  const yaml = (...lines: string[]) => ['```yaml', ...lines, '```', ''].join('\n');

  it.each(PAGES.filter(({ fences }) => fences.some(({ language }) => /^(?:yaml|json)$/.test(language))))(
    '$path: are loaded by the sidecar, and JSON parses',
    (page) => {
      expect(text(configProblems(page, certificates().authority))).toBe('');
    },
  );

  const WHOLE = [
    'environment: dev',
    'credentials: { default: { clientId: my-erp, secrets: [{ file: /run/secrets/aritma }] } }',
  ];

  it('may be whole, or marked as a fragment of one, of a credential or of a route', () => {
    expect(problems('page.md', yaml(...WHOLE))).toEqual([]);
    for (const fragment of ['limits: { connections: 9 }', 'rotation: { every: 30d }', 'allow: ["GET /accounts"]'])
      expect(problems('page.md', `<!-- fragment -->\n${yaml(fragment)}`)).toEqual([]);
  });

  it.each([
    ['a mistyped option', [...WHOLE, 'limits: { connection: 9 }'], 'limits.connection'],
    ['a wrong value', [...WHOLE, 'listen: everywhere'], 'listen'],
    ['a key twice', [...WHOLE, 'environment: prod'], 'unique'],
    ['a part of one without a marker', ['limits: { connections: 9 }'], 'environment'],
  ])('fail with %s, and the failure says what and where', (_what, lines, named) => {
    const [problem = '', ...more] = problems('docs/page.md', `# Page\n\n${yaml(...lines)}`);
    expect(more).toEqual([]);
    expect(problem).toMatch(/^docs\/page\.md:3: /);
    expect(problem).toContain(named);
    expect(problem).toContain('<!-- fragment -->');
  });

  it('fail with a mistyped option in a fragment', () => {
    expect(problems('page.md', `<!-- fragment -->\n${yaml('rotation: { evry: 30d }')}`)[0]).toContain('rotation.evry');
  });

  it('are not looked at where a marker says that they are something else', () => {
    expect(problems('page.md', `<!-- not a configuration: a pod of Kubernetes -->\n${yaml('spec: {}')}`)).toEqual([]);
  });

  it('fail as JSON that does not parse', () => {
    expect(problems('page.md', '```json\n{"a":1,}\n```\n')[0]).toMatch(/^page\.md:1: this is no JSON/);
  });
});

describe('the markers of a page', () => {
  const problems = (markdown: string) => markerProblems(parsePage('page.md', markdown));
  const sh = (...above: string[]) => [...above, '```sh', 'true', '```', ''].join('\n');

  it.each([
    sh(),
    sh('<!-- not run: needs a cluster -->'),
    sh('<!-- background -->'),
    sh('<!-- exit: 2 -->'),
    sh('<!-- running: aritma-sidecar demo -->', '', ''),
    `${sh()}\n<!-- output -->\n\`\`\`\nout\n\`\`\`\n`,
    '```html\n<!-- exit -->\n```\n',
  ])('are right: %j', (markdown) => {
    expect(problems(markdown)).toEqual([]);
  });

  it.each([
    [sh('<!-- not run -->'), 'page.md:1: `<!-- not run -->` needs a reason'],
    [sh('<!-- not run: Docker -->'), 'three words'],
    [sh('<!-- notrun: needs a cluster -->'), 'is no marker: one of not run, '],
    [sh('<!-- not run: needs a cluster -->', ''), 'stands above no fence'],
    [sh('<!-- exit: two -->'), 'needs a number'],
    [sh('<!-- output -->'), 'above a plain fence that follows'],
    ['<!-- output -->\n```\nout\n```\n', 'above a plain fence that follows'],
    [`${sh('<!-- not run: needs a cluster -->')}\n<!-- output -->\n\`\`\`\nout\n\`\`\`\n`, 'which runs'],
    ['```bash\ntrue\n```\n', 'page.md:1: ```bash runs nowhere: write ```sh'],
  ])('are wrong: %j', (markdown, expected) => {
    expect(problems(markdown).join('\n')).toContain(expected);
  });
});
