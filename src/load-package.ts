import { createRequire } from 'node:module'
import { FST_B24_PACKAGE_MISSING } from './errors.ts'

// In a bundle of CommonJS `import.meta.url` is empty; there, and there alone, is `__filename`.
const load = createRequire(typeof __filename === 'string' ? __filename : import.meta.url)

/**
 * Loads a package, or a file of one, when it is first needed. `require` reads each of its CommonJS files once, `import` twice. A bundler
 * does not see it: the package stays where it is installed, as one with compiled parts must.
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
