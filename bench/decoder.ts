import { fileURLToPath } from 'node:url'
import { parse as parseFlat } from 'fast-querystring'
import { parse as parsePico } from 'picoquery'
import qs from 'qs'
import { encodeForm } from '../src/testing/portal/form.ts'
import { decodeForm } from '../src/wire/form.ts'
import { atLeast, median, printSection, type Section } from './table.ts'

type Decode = (body: string) => unknown

const ROUNDS = 9
const ROUND_MS = 80
const WARM_UP_MS = 200
const BATCH = 64

const DECODERS: Array<{ name: string, decode: Decode }> = [
  { name: 'fastify-bitrix24', decode: decodeForm },
  { name: 'qs', decode: body => qs.parse(body) },
  { name: 'picoquery, index (escaped brackets stay flat)', decode: body => parsePico(body, { nestingSyntax: 'index' }) },
  { name: 'fast-querystring (flat)', decode: body => parseFlat(body) },
  { name: 'URLSearchParams (flat)', decode: body => Object.fromEntries(new URLSearchParams(body)) }
]

const fake = (name: string) => `fake-${name}-`.padEnd(32, '0')

const auth = {
  access_token: fake('access'),
  expires_in: 3600,
  scope: 'crm',
  domain: 'some-domain.bitrix24.com',
  server_endpoint: 'https://oauth.bitrix24.tech/rest/',
  status: 'F',
  client_endpoint: 'https://some-domain.bitrix24.com/rest/',
  member_id: fake('member'),
  refresh_token: fake('refresh'),
  application_token: fake('application')
}

/** The documented example of onCrmDynamicItemUpdate. */
const item = { event: 'ONCRMDYNAMICITEMUPDATE', event_handler_id: 5, data: { FIELDS: { ID: 24, ENTITY_TYPE_ID: 1220 } }, ts: 1723538517, auth }

/** A message to a bot: tokens for the bot inside, and a text in Cyrillic. */
const message = {
  event: 'ONIMBOTMESSAGEADD',
  event_handler_id: 58,
  data: {
    BOT: { 571: { ...auth, user_id: 571, BOT_ID: 571, BOT_CODE: 'helper', AUTH: { ...auth, user_id: 571 } } },
    PARAMS: {
      FROM_USER_ID: 1,
      MESSAGE: 'Добрый день! Подскажите, пожалуйста, когда будет готов счёт по сделке №1220? Клиент ждёт документы. '.repeat(4),
      TO_CHAT_ID: 2941,
      MESSAGE_TYPE: 'C',
      SKIP_COMMAND: 'N',
      AUTHOR_ID: 1,
      CHAT_ID: 2941,
      LANGUAGE: 'ru',
      DIALOG_ID: 'chat2941',
      MESSAGE_ID: 92455
    },
    USER: { ID: 1, NAME: 'Мария Иванова', FIRST_NAME: 'Мария', LAST_NAME: 'Иванова', WORK_POSITION: '', GENDER: 'F' }
  },
  ts: 1723538517,
  auth: { ...auth, user_id: 1 }
}

/**
 * Compares the form decoders in one run, in rounds that go from one to the next, by the processor time they take: so another
 * program on the machine weighs on none of them. Ratios are of one round each; the medians are reported.
 */
export function measureDecoders (): Section[] {
  return [
    compare('Decoding the documented onCrmDynamicItemUpdate', item, 2.5),
    compare('Decoding a message to a bot', message)
  ]
}

function compare (title: string, tree: unknown, timesQs?: number): Section {
  const body = encodeForm(tree)
  for (const { decode } of DECODERS) opsPerSecond(decode, body, WARM_UP_MS)
  const rounds = Array.from({ length: ROUNDS }, () => DECODERS.map(({ decode }) => opsPerSecond(decode, body, ROUND_MS)))
  const qsAt = DECODERS.findIndex(({ name }) => name === 'qs')
  const rows = DECODERS.map(({ name }, at) => {
    const speed = median(rounds.map(round => round[at]!))
    const ratio = median(rounds.map(round => round[at]! / round[qsAt]!))
    return { name, figure: `${Math.round(speed).toLocaleString('en')} bodies/s`, ratio }
  })
  const targets = timesQs === undefined ? [] : [atLeast('decoder against qs', timesQs, rows[0]!.ratio)]
  return { title: `${title}, ${body.length} bytes, against qs`, rows, targets }
}

function opsPerSecond (decode: Decode, body: string, forMs: number): number {
  // Parsed again from bytes, as the bodies of requests are.
  const bytes = Buffer.from(body)
  const bodies = Array.from({ length: BATCH }, () => bytes.toString())
  const start = process.cpuUsage()
  let done = 0
  let elapsed = 0
  while (elapsed < forMs) {
    for (const each of bodies) decode(each)
    done += BATCH
    const { user, system } = process.cpuUsage(start)
    elapsed = (user + system) / 1000
  }
  return done * 1000 / elapsed
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const section of measureDecoders()) printSection(section)
}
