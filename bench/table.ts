/** One line of the table. */
export interface Row {
  name: string
  /** What was measured, with its unit: `12,345 req/s`. */
  figure: string
  /** More of it: `p99 3.1 ms`. */
  more?: string
  /** This one against the one that the section names. */
  ratio?: number
}

/** What the project promises of a figure. */
export interface Target {
  name: string
  /** The promise, and what was measured, in words. */
  wanted: string
  got: string
  met: boolean
}

export interface Section {
  title: string
  rows: Row[]
  /** What one has to know to read the figures. */
  notes?: string[]
  targets: Target[]
}

const LEFT = [true, false, true, false]

export function printSection ({ title, rows, notes = [] }: Section): void {
  const cells = rows.map(({ name, figure, more = '', ratio }) => [name, figure, more, ratio === undefined ? '' : `${ratio.toFixed(2)} x`])
  const widths = LEFT.map((_, column) => Math.max(...cells.map(row => row[column]!.length)))
  console.log(`\n${title}`)
  for (const row of cells) {
    const padded = row.map((cell, column) => LEFT[column] ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))
    console.log(`  ${padded.join('   ').trimEnd()}`)
  }
  for (const note of notes) console.log(`  ${note}`)
}

/** Prints each target, met or not; returns whether all are met. */
export function printTargets (targets: readonly Target[]): boolean {
  console.log('\ntargets')
  const width = Math.max(...targets.map(({ name }) => name.length))
  for (const { name, wanted, got, met } of targets) {
    console.log(`  ${met ? 'met    ' : 'NOT met'}   ${name.padEnd(width)}   ${wanted}: ${got}`)
  }
  return targets.every(({ met }) => met)
}

export function atLeast (name: string, wanted: number, got: number): Target {
  return { name, wanted: `at least ${wanted} x`, got: `${got.toFixed(2)} x`, met: got >= wanted }
}

export function atMost (name: string, wanted: number, got: number, unit: string): Target {
  return { name, wanted: `at most ${wanted} ${unit}`, got: `${got.toFixed(1)} ${unit}`, met: got <= wanted }
}

/** A quarter of the values is less: for times that other programs can only make longer. */
export function lowerQuartile (values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 2]!
}

export function median (values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
