// Loaded before the app: at SIGUSR2 the clock of the process goes back by an hour, as an administrator may set it.
const HOUR_MS = 60 * 60 * 1000

const GenuineDate = Date
let back = 0

class SetBack extends GenuineDate {
  constructor (...given: unknown[]) {
    super(...(given.length === 0 ? [SetBack.now()] : given) as [number])
  }

  static override now (): number {
    return GenuineDate.now() - back
  }
}

globalThis.Date = SetBack as DateConstructor
process.on('SIGUSR2', () => { back += HOUR_MS })
