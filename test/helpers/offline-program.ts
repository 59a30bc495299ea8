import { openOfflineApp, type OfflineAppSettings } from './offline-app.ts'

// Its settings are its argument; it ends with its stdin, or is killed.
process.stdin.once('end', () => process.exit(1)).resume().unref()
await openOfflineApp(JSON.parse(process.argv[2] as string) as OfflineAppSettings)
console.log('ready')
