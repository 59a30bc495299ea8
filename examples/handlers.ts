// What the app does with events, wherever it runs: the server and each worker add the same handlers.
import type { FastifyInstance } from 'fastify'
import { EntityType } from 'fastify-bitrix24'

export function addHandlers ({ bitrix24 }: FastifyInstance): void {
  bitrix24.addHook('onInstall', ({ portal, reinstall }) => {
    console.log(`${portal.domain}  ${reinstall ? 're' : ''}installed the app, may use: ${portal.scope.join(', ')}`)
  })

  bitrix24.addHook('onUninstall', ({ portal, clean }) => {
    console.log(`${portal.domain}  removed the app${clean ? ' and wants its data deleted' : ''}`)
  })

  bitrix24.addHook('onDeadLetter', ({ letter }) => {
    console.log(`${letter.memberId}  ${letter.name} failed ${letter.attempts} times: ${letter.error.message}`)
  })

  bitrix24.on(['onCrmDynamicItemAdd', 'onCrmDynamicItemUpdate', 'onCrmDynamicItemDelete'], (event, { portal }) => {
    const { ID, ENTITY_TYPE_ID } = event.data.FIELDS
    console.log(`${portal.domain}  ${event.name}`, { ID, ENTITY_TYPE_ID })
  })

  // Only one type of item: new invoices.
  bitrix24.on('onCrmDynamicItemAdd', { ENTITY_TYPE_ID: EntityType.SmartInvoice }, (event, { portal }) => {
    console.log(`${portal.domain}  a new invoice: ${event.data.FIELDS.ID}`)
  })

  bitrix24.on(['onCrmDealAdd', 'onCrmDealUpdate'], (event, { portal }) => {
    console.log(`${portal.domain}  ${event.name}`, { ID: event.data.FIELDS.ID })
  })
}
