// What the app does with events, wherever it runs: the server, the demo and each worker add the same handlers.
import type { FastifyInstance } from 'fastify'
import { EntityType } from 'fastify-bitrix24'
import { changesOf } from './item-changes.ts'

export function addHandlers ({ bitrix24 }: FastifyInstance): void {
  bitrix24.addHook('onInstall', ({ portal, reinstall }) => {
    console.log(`${portal.domain}  ${reinstall ? 're' : ''}installed the app, may use: ${portal.scope.join(', ')}`)
  })

  bitrix24.addHook('onUninstall', ({ portal, clean }) => {
    console.log(`${portal.domain}  removed the app${clean ? ' and wants its data deleted' : ''}`)
  })

  bitrix24.addHook('onDeadLetter', ({ deadLetter }) => {
    console.log(`${deadLetter.memberId}  ${deadLetter.name} failed ${deadLetter.attempts} times: ${JSON.stringify(deadLetter.error.message)}`)
  })

  bitrix24.on(['onCrmDynamicItemAdd', 'onCrmDynamicItemUpdate'], async (event, context) => {
    const { ID, ENTITY_TYPE_ID } = event.data.FIELDS
    console.log(`${context.portal.domain}  ${event.name}`, { ID, ENTITY_TYPE_ID }, await changesOf(ENTITY_TYPE_ID, ID, context))
  })

  bitrix24.on('onCrmDynamicItemDelete', (event, { portal }) => {
    const { ID, ENTITY_TYPE_ID } = event.data.FIELDS
    console.log(`${portal.domain}  ${event.name}`, { ID, ENTITY_TYPE_ID })
  })

  // Only one type of item: new invoices.
  bitrix24.on('onCrmDynamicItemAdd', { ENTITY_TYPE_ID: EntityType.SmartInvoice }, (event, { portal }) => {
    console.log(`${portal.domain}  a new invoice: ${event.data.FIELDS.ID}`)
  })

  bitrix24.on(['onCrmDealAdd', 'onCrmDealUpdate'], async (event, context) => {
    const { ID } = event.data.FIELDS
    console.log(`${context.portal.domain}  ${event.name}`, { ID }, await changesOf(EntityType.Deal, ID, context))
  })
}
