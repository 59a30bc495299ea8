import express from 'express'
import { Redis } from 'ioredis'
import type { AddressInfo } from 'node:net'
import { readSettings, serveHttp, type ServerSettings } from '../common/parent.ts'

// As the recipes of the SDKs receive events: urlencoded, the saved auth of the portal, a comparison.
const { redisUrl, recipeKey } = readSettings<ServerSettings>()
const redis = new Redis(redisUrl)
const app = express()

app.use(express.urlencoded({ extended: true }))

app.post('/bitrix24/events', async (request, response) => {
  const { data, auth } = request.body
  const value = await redis.get(recipeKey + auth.member_id)
  const saved = value === null ? undefined : JSON.parse(value)
  if (saved?.application_token !== auth.application_token) {
    response.status(403).json({ status: 'forbidden' })
    return
  }
  await onItemUpdate({ id: Number(data.FIELDS.ID), entityTypeId: Number(data.FIELDS.ENTITY_TYPE_ID) })
  response.json({ status: 'accepted' })
})

const server = app.listen(0, '127.0.0.1', () => serveHttp(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))

async function onItemUpdate (_item: { id: number, entityTypeId: number }): Promise<void> {}
