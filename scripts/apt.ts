import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/** Whether packages of Debian can be installed here. */
export function canInstall (): boolean {
  return process.getuid?.() === 0 && existsSync('/etc/debian_version')
}

/** Installs packages of Debian, and lets apt-get say what is wrong; whether it worked is for the caller to see. */
export function installPackages (program: string, ...packages: string[]): void {
  console.error(`${program}: there is no ${packages[0]} here; installing it with apt-get`)
  apt('update')
  apt('install', '-y', '--no-install-recommends', ...packages)
}

function apt (...action: string[]): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  // Another apt-get is waited for: machines that have just started often run one.
  spawnSync('apt-get', ['-qq', '-o', 'DPkg::Lock::Timeout=120', ...action], { stdio: ['ignore', 'ignore', 'inherit'], env })
}
