/**
 * Node's own modules, which a bundle takes with `process.getBuiltinModule()` instead of `import`. For an `import`, Node reads
 * every property of the module, getters included: that of `node:http` alone loads a second undici, `node:http2` and the
 * web streams, that of `node:crypto` all of WebCrypto.
 */
import { builtinModules } from 'node:module';
import type { Plugin } from 'rolldown';

const PREFIX = '\0built-in:';
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;
/** No names of variables, and nothing imports them. */
const RESERVED = new Set(['default', 'delete']);

export function nodeModules(): Plugin {
  return {
    name: 'node-modules',
    resolveId(specifier, _importer, { kind }) {
      const isNodes = specifier.startsWith('node:') && builtinModules.includes(specifier.slice('node:'.length));
      return isNodes && kind === 'import-statement' ? `${PREFIX}${specifier}` : null;
    },
    load: (id) => (id.startsWith(PREFIX) ? moduleText(id.slice(PREFIX.length)) : null),
  };
}

/** The bundler drops what nothing imports, because it may call these functions or not. */
function moduleText(specifier: string): string {
  const names = Object.keys(process.getBuiltinModule(specifier) ?? {}).filter(
    (name) => IDENTIFIER.test(name) && !RESERVED.has(name),
  );
  const lines = names.map((name) => `export const ${name} = /* @__PURE__ */ (() => all.${name})();`);
  return `const all = process.getBuiltinModule(${JSON.stringify(specifier)});\nexport default all;\n${lines.join('\n')}`;
}
