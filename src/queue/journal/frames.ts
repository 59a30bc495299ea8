import { fstatSync, readSync } from 'node:fs'
import { crc32 } from 'node:zlib'

/** Number of lines, length of the text in bytes, and a checksum of both and the text: each 32 bits. A segment is zeros where nothing was written. */
const HEADER = 12
/** Whoever reads a frame takes in all of it. */
const MOST_LINES = 100

/** Lines that were written as one. */
export interface Frame {
  lines: string[]
  /** Where the next frame begins. */
  end: number
}

/** Writes lines as frames, one behind the other. No line has a line break in it. */
export function framesOf (lines: readonly string[]): Buffer {
  if (lines.length <= MOST_LINES) return frameOf(lines)
  const frames: Buffer[] = []
  for (let from = 0; from < lines.length; from += MOST_LINES) frames.push(frameOf(lines.slice(from, from + MOST_LINES)))
  return Buffer.concat(frames)
}

/** Reads the frames of a file from a place on, until one is not all there: it is being written, or its writer died of it. */
export function * readFrames (file: number, from: number): Generator<Frame> {
  for (let at = from; ;) {
    const header = readAt(file, at, HEADER)
    const length = header === undefined ? 0 : lengthOf(header)
    // A header that is torn may say any length.
    if (length === 0 || at + length > fstatSync(file).size) return
    const frame = readAt(file, at, length)
    if (frame === undefined || !isWhole(frame)) return
    at += length
    yield { lines: frame.toString('utf8', HEADER).split('\n'), end: at }
  }
}

/** How many lines come after a place. */
export function countLines (file: number, from: number): number {
  const rest = readAt(file, from, Math.max(fstatSync(file).size - from, 0)) ?? Buffer.alloc(0)
  let count = 0
  for (let at = 0; at + HEADER <= rest.length;) {
    const length = lengthOf(rest.subarray(at))
    const frame = rest.subarray(at, at + length)
    if (length === 0 || frame.length < length || !isWhole(frame)) break
    count += frame.readUInt32LE(0)
    at += length
  }
  return count
}

/** Whether something was written at a place where no whole frame is. */
export function isTornAt (file: number, at: number): boolean {
  return readAt(file, at, HEADER)?.some(byte => byte !== 0) === true
}

function frameOf (lines: readonly string[]): Buffer {
  const frame = Buffer.from(' '.repeat(HEADER) + lines.join('\n'))
  frame.writeUInt32LE(lines.length, 0)
  frame.writeUInt32LE(frame.length - HEADER, 4)
  frame.writeUInt32LE(checksumOf(frame), 8)
  return frame
}

/** Length of the frame with this header, in bytes; 0 where there is none. */
function lengthOf (header: Buffer): number {
  return header.readUInt32LE(0) === 0 ? 0 : HEADER + header.readUInt32LE(4)
}

function isWhole (frame: Buffer): boolean {
  return checksumOf(frame) === frame.readUInt32LE(8)
}

function checksumOf (frame: Buffer): number {
  return crc32(frame.subarray(HEADER), crc32(frame.subarray(0, 8)))
}

/** `undefined` where the file ends before. */
function readAt (file: number, at: number, length: number): Buffer | undefined {
  const bytes = Buffer.allocUnsafe(length)
  return readSync(file, bytes, 0, length, at) === length ? bytes : undefined
}
