/** The Markdown pages of the project. */
import { globSync } from 'node:fs';

/** Paths from the root, where tests run; without installed, built or temporary files. */
export const MARKDOWN_FILES: readonly string[] = [
  ...globSync('*.md'),
  ...globSync('docs/**/*.md'),
  ...globSync('deploy/**/*.md'),
  ...globSync('.github/**/*.md'),
].filter((file) => file !== 'CHANGELOG.md');
