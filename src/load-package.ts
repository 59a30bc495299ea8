import { createRequire } from 'node:module'
import { FST_B24_PACKAGE_MISSING } from './errors.ts'

// In a CommonJS bundle `import.meta.url` is empty, but `__filename` exists.
const load = createRequire(typeof __filename === 'string' ? __filename : import.meta.url)

/**
 * Loads a package, or a file of one, on first use. `require` reads each CommonJS file once, `import` twice. Bundlers do not follow it, so
 * the package stays installed, as packages with native parts must.
 *
 * @throws FST_B24_PACKAGE_MISSING
 */
export function loadPackage<T> (name: string): T {
  try {
    return load(name) as T
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error
    throw new FST_B24_PACKAGE_MISSING(name, { cause: error })
  }
}
