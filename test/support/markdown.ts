/** The Markdown pages of the project. */
import { globSync } from 'node:fs';

/** Paths from the root, where tests run; without what is installed, built or left behind. */
export const MARKDOWN_FILES: readonly string[] = [
  ...globSync('*.md'),
  ...globSync('docs/**/*.md'),
  ...globSync('deploy/**/*.md'),
  ...globSync('.github/**/*.md'),
].filter((file) => file !== 'CHANGELOG.md');
