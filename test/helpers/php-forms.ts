import fc from 'fast-check'
import { emptyMap, type WireMap, type WireValue } from '../../src/wire/form-tree.ts'
import { php } from './php.ts'

/** What PHP makes of trees and of bodies: `built` by `http_build_query`, `parsed` by `parse_str`. */
export interface PhpForms {
  version: string
  built: string[]
  parsed: WireMap[]
}

/** A PHP array as the script prints it: bytes in hex, in PHP's order. */
type Printed = string | Array<[key: string, value: Printed]>

const SCRIPT = `
  function printed($value) {
    if (!is_array($value)) return bin2hex((string) $value);
    $pairs = [];
    foreach ($value as $key => $item) $pairs[] = [bin2hex((string) $key), printed($item)];
    return $pairs;
  }
  $asked = json_decode(file_get_contents('php://stdin'), true, 512, JSON_THROW_ON_ERROR);
  $built = array_map(fn ($tree) => http_build_query($tree, '', '&'), $asked['trees']);
  $parsed = array_map(function ($body) { parse_str($body, $tree); return printed($tree); }, $asked['bodies']);
  echo json_encode(['version' => PHP_VERSION, 'built' => $built, 'parsed' => $parsed], JSON_THROW_ON_ERROR);
`

/** Asks one PHP process for everything at once. */
export function askPhp (trees: unknown[], bodies: string[]): PhpForms {
  const { version, built, parsed } = JSON.parse(php(SCRIPT, JSON.stringify({ trees, bodies })))
  return { version, built, parsed: parsed.map((pairs: Printed) => read(pairs, true)) }
}

// PHP has one kind of array. A list is one whose keys are 0…n−1 in order; a whole body is never one.
function read (printed: Printed, root = false): WireValue {
  if (typeof printed === 'string') return Buffer.from(printed, 'hex').toString()
  const pairs = printed.map(([key, value]): [string, WireValue] => [Buffer.from(key, 'hex').toString(), read(value)])
  if (!root && pairs.every(([key], index) => key === String(index))) return pairs.map(([, value]) => value)
  return toMap(Object.fromEntries(pairs))
}

/** The same tree with maps that have no prototype, as the decoder makes them. */
export function toMap (tree: WireMap): WireMap {
  return without(tree) as WireMap
}

function without (value: WireValue): WireValue {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(without)
  const map = emptyMap()
  for (const [key, child] of Object.entries(value)) map[key] = without(child)
  return map
}

const PROTOTYPE_KEYS = new Set([...Object.getOwnPropertyNames(Object.prototype), 'prototype'])

const text = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.constantFrom('a b+c&d=é~*-_."\n', 'Сделка №1 закрыта', '%41%', '100%', '[x]', '😀', '\0', '', 'https://x.test/?a=1&b[]=2', 'я'.repeat(90), 'a%+'.repeat(90))
)
const scalar = fc.oneof(text, fc.integer(), fc.boolean(), fc.constant(null), fc.constantFrom(0.1, -1.5, 1e20, 1.5e-7, 1 / 3, 123456789.125))
// Keys as events have them. PHP rewrites a name that has a dot, a space or a bracket: the awkward bodies have those.
const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_-]{0,11}$/).filter(key => !PROTOTYPE_KEYS.has(key))
const key = fc.oneof(name, name, fc.nat(30).map(String), fc.constantFrom('x y', 'a.b', 'é', 'Имя', '-1', '007', '1.5', '1e3', 'a&b=c%', 'a+b', ' x'))

const { tree } = fc.letrec<{ tree: unknown, map: unknown }>(tie => ({
  tree: fc.oneof({ maxDepth: 5, depthSize: 'small' }, scalar, fc.array(tie('tree'), { maxLength: 3 }), tie('map')),
  map: fc.dictionary(key, tie('tree'), { maxKeys: 4 })
}))

/** Trees as a portal could send them, null, booleans and floats included. */
export const trees = fc.dictionary(name, tree, { minKeys: 1, maxKeys: 4 })

/**
 * Bodies made of what a form is made of, in any order. PHP's other rules for names, with NUL and spaces, are kept out: the
 * awkward bodies have those.
 */
export const soups = fc.array(fc.constantFrom(
  'a', 'b', 'a', 'b', '0', '1', '2', '[', ']', '[', ']', '%5B', '%5d', '%5D', '=', '&', '&', '=', '%', '%25', '%C3%A9', '%D0', 'é', '%zz', '[]', '[0]', '[1]', '[a]', '&a[', '&b[0]='
), { maxLength: 30 }).map(pieces => pieces.join('')).filter(body => !/%(00|20|0a|0b)/.test(body))
