import Fastify from 'fastify'
import t from 'tap'
import { showBoard } from '../../examples/board.ts'

t.test('the board opens to no password that is empty or may be guessed', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  for (const password of ['', '1234567']) {
    await t.rejects(showBoard(app, { redis: 'redis://127.0.0.1:1', password, clientId: 'local.board' }), { message: /BOARD_PASSWORD must have 8 characters or more/ })
  }
  t.equal((await app.inject('/board')).statusCode, 404, 'and nothing is there')
})
