/** axe in a page: what it finds wrong for people who see or operate it in another way. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Each rule that is broken, with the elements that break it. The page's policy must be bypassed. */
export async function violations(page: Page): Promise<string[][]> {
  await page.evaluate(AXE);
  const found = (await page.evaluate('axe.run()')) as { violations: { id: string; nodes: { html: string }[] }[] };
  return found.violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)]);
}
