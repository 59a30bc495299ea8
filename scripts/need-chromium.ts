import { findOnPath } from '../test/helpers/find-on-path.ts'
import { canInstall, installPackages } from './apt.ts'

/** Installs Debian's Chromium where there is none. @returns what to do about it in one line, where that is for others to do */
export function needChromium (program: string): string | undefined {
  if (isThere()) return undefined
  if (!canInstall()) return 'no Chromium here: install the package chromium of Debian (apt-get install chromium)'
  // Without any font, the pictures of the pages would show none of their text.
  installPackages(program, 'chromium', 'fonts-liberation')
  return isThere() ? undefined : 'apt-get could not install chromium: install it by hand'
}

function isThere (): boolean {
  return findOnPath(['chromium']) !== undefined
}
