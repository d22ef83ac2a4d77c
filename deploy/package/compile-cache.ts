/**
 * V8's compiled code, kept beside the program from one start to the next: a start takes 0.8 to 0.9 of the CPU time. Whoever may write
 * there may replace the program too, which is not so in the folder for temporary files that Node would take. Where the
 * process may not write, it goes without. An executable brings this code.
 */

/** Runs at the top of `main.js`. A Node that is too old lacks these functions, and main.ts says what is needed. */
function keepCompiledCode(program: string): void {
  const folder = `${program}/compile-cache`;
  try {
    // For its owner only, whatever the umask is: what lies in it will be run.
    process.getBuiltinModule('node:fs').mkdirSync(folder, { recursive: true, mode: 0o700 });
    process.getBuiltinModule('node:module').enableCompileCache(folder);
  } catch {
    // The program is there for reading only.
  }
}

/** The same as text. Node has taken its types away. */
export const KEEP_COMPILED_CODE = `(${String(keepCompiledCode)})(__dirname);`;
