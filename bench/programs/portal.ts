import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serveHttp } from '../common/parent.ts'

// A portal that answers each call with the same item, at once.
const body = JSON.stringify({
  result: { item: { id: 24, title: 'A deal', entityTypeId: 2, opportunity: 1_000, currencyId: 'EUR', assignedById: 1, stageId: 'NEW' } },
  time: { start: 1, finish: 1.01, duration: 0.01, processing: 0.01, date_start: '', date_finish: '', operating: 0.01, operating_reset_at: 601 }
})
const server = createServer((request, response) => {
  request.resume().once('end', () => response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length }).end(body))
})
server.listen(0, '127.0.0.1', () => serveHttp(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
