import type { Test } from 'tap'
import { completeDelivery } from '../../src/delivery/delivery-options.ts'
import { openStorage, type StorageChoice } from '../../src/storage/open-storage.ts'
import type { Storage, StorageSettings } from '../../src/storage/storage.ts'
import { temporaryFolder } from './app.ts'

/** Settings of a storage as the plugin has them by default. */
export function storageSettings (app: string, over: Partial<StorageSettings> = {}): StorageSettings {
  return { app, events: completeDelivery({}), waitReplicas: 0, onError: () => {}, onReady: () => {}, onWarning: () => {}, ...over }
}

/** A storage of one app, in a folder of its own unless the choice says where; it is closed with the test. */
export async function openTestStorage (t: Test, choice: Partial<StorageChoice> = {}, app = 'app'): Promise<Storage> {
  const storage = await openStorage({ dataDir: choice.redis === undefined ? choice.dataDir ?? temporaryFolder(t) : '', ...choice }, storageSettings(app))
  t.teardown(() => storage.close())
  return storage
}
