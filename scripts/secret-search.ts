import { existsSync, readFileSync } from 'node:fs'

export interface SecretSearch {
  searchedLines: number
  secrets: number
  /** Lines that hold a secret, without it. */
  leaks: string[]
}

/** Searches a file of log lines for the secrets of another file, one a line. */
export function searchForSecrets (logsFile: string, secretsFile: string): SecretSearch {
  const logs = linesOf(logsFile)
  const secrets = [...new Set(linesOf(secretsFile))]
  return { searchedLines: logs.length, secrets: secrets.length, leaks: leaksIn([...new Set(logs)], secrets) }
}

/** In one pass: there are thousands of both. */
function leaksIn (lines: string[], secrets: string[]): string[] {
  const headLength = Math.min(8, ...secrets.map(({ length }) => length))
  const byHead = new Map<string, string[]>()
  for (const secret of secrets) {
    const head = secret.slice(0, headLength)
    byHead.set(head, [...byHead.get(head) ?? [], secret])
  }
  const secretIn = (line: string): string | undefined => {
    for (let at = 0; at + headLength <= line.length; at++) {
      const found = byHead.get(line.slice(at, at + headLength))?.find(secret => line.startsWith(secret, at))
      if (found !== undefined) return found
    }
  }
  return lines.flatMap(line => {
    const found = secretIn(line)
    return found === undefined ? [] : [line.replaceAll(found, '[secret]')]
  })
}

function linesOf (file: string): string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(line => line !== '') : []
}
