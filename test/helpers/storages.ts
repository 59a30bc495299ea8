import type { Test } from 'tap'
import type { FastifyBitrix24Options } from '../../src/index.ts'
import { temporaryFolder } from './app.ts'

/** Where events may be kept, each as the options say it; several apps of one test share it. */
export const STORAGES: ReadonlyArray<{ storage: string, options: (t: Test) => Partial<FastifyBitrix24Options> }> = [
  { storage: 'SQLite', options: t => ({ dataDir: temporaryFolder(t) }) },
  { storage: 'Redis', options: () => ({ redis: process.env['REDIS_URL'] as string }) }
]
