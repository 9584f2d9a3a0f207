import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Backoff } from '../src/backoff.ts'
import { Session } from '../src/session.ts'
import { FakeWebSocket } from './websocket.ts'

let session: Session
let log: string[]
const snapshot = (seq: number): object => ({ type: 'room.snapshot', seq, resume_token: `r${seq}` })
const event = (seq: number): object => ({ type: 'room.participant_left', seq, participant: {} })
const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0)

beforeEach(async () => {
  vi.useFakeTimers()
  FakeWebSocket.install()
  log = []
  session = new Session({
    urls: ['ws://node/v1/signal'],
    token: 'join',
    patience: 60_000,
    backoff: new Backoff(1_000, 8_000, () => 1),
  })
  session.on('message', message => log.push(`${message.type.replace('room.', '')} ${message.seq}`))
  session.on('lost', () => log.push('lost'))
  session.on('restored', ({ known }) => log.push(`restored ${known}`))
  session.on('closed', ({ code }) => log.push(`closed ${code}`))
  await session.open()
})
afterEach(() => {
  session.close()
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

test('the token travels in the subprotocols', () => {
  expect(FakeWebSocket.latest.protocols).toEqual(['parley.v1', 'bearer.join'])
})

test('answers find their requests, and errors are thrown', async () => {
  const good = session.request('chat.message', { text: 'hi' })
  FakeWebSocket.latest.answer({ type: 'ok' })
  expect((await good).type).toBe('ok')
  const bad = session.request('room.end', {})
  FakeWebSocket.latest.answer({ type: 'error', code: 'not_host', message: 'Only hosts.' })
  await expect(bad).rejects.toMatchObject({ code: 'not_host', message: 'Only hosts.' })
  const silent = expect(session.request('room.end', {})).rejects.toMatchObject({ code: 'timeout' })
  await vi.advanceTimersByTimeAsync(10_000)
  await silent
})

test('too many open requests are refused', async () => {
  for (let i = 0; i < 64; i++) session.request('room.lock', {}, 0).catch(() => undefined)
  await expect(session.request('room.lock', {})).rejects.toMatchObject({ code: 'busy' })
})

test('a node that cannot be reached is passed over for the next candidate', async () => {
  session.close()
  FakeWebSocket.all = []
  FakeWebSocket.reachable = url => url.includes('second')
  session = new Session({ urls: ['ws://first/v1/signal', 'ws://second/v1/signal'], token: 'join' })
  await session.open()
  expect(FakeWebSocket.all.map(socket => socket.url)).toEqual(['ws://first/v1/signal', 'ws://second/v1/signal'])
  FakeWebSocket.reachable = () => false
  const lonely = new Session({ urls: ['ws://first/v1/signal', 'ws://second/v1/signal'], token: 'join' })
  await expect(lonely.open()).rejects.toMatchObject({ code: 'offline' })
})

test.each([1001, 4002])('a node that goes away with %i is left for the next candidate at once', async code => {
  session.close()
  FakeWebSocket.all = []
  session = new Session({ urls: ['ws://first/v1/signal', 'ws://second/v1/signal'], token: 'join' })
  await session.open()
  FakeWebSocket.latest.say(snapshot(1))
  FakeWebSocket.latest.drop(code)
  await vi.advanceTimersByTimeAsync(1_000)
  expect(FakeWebSocket.all.map(socket => socket.url)).toEqual(['ws://first/v1/signal', 'ws://second/v1/signal'])
})

describe('gaps', () => {
  test('one is filled by the events that were missing, each seen once', () => {
    const socket = FakeWebSocket.latest
    for (const message of [snapshot(1), event(2), event(4), event(5)]) socket.say(message)
    expect(socket.sent).toMatchObject([{ type: 'participant.resume', last_seq: 2 }])
    for (const message of [event(3), event(4), event(5), event(6)]) socket.say(message)
    expect(log).toEqual(['snapshot 1', ...[2, 3, 4, 5, 6].map(seq => `participant_left ${seq}`)])
  })

  test('one is closed by a snapshot', () => {
    const socket = FakeWebSocket.latest
    for (const message of [snapshot(1), event(7), snapshot(9), event(10)]) socket.say(message)
    expect(socket.sent).toHaveLength(1)
    expect(log).toEqual(['snapshot 1', 'snapshot 9', 'participant_left 10'])
  })

  test('it is asked for again when nothing came', async () => {
    const socket = FakeWebSocket.latest
    socket.say(snapshot(1))
    socket.say(event(3))
    await vi.advanceTimersByTimeAsync(3_000)
    socket.say(event(4))
    expect(socket.sent).toHaveLength(2)
  })
})

describe('a lost socket', () => {
  test('is resumed with the newest resume token from the last event on', async () => {
    FakeWebSocket.latest.say(snapshot(3))
    FakeWebSocket.latest.say(event(4))
    FakeWebSocket.latest.drop(1006)
    expect(session.connected).toBe(false)
    await vi.advanceTimersByTimeAsync(1_000)
    const socket = FakeWebSocket.latest
    expect(socket.protocols).toEqual(['parley.v1', 'bearer.r3'])
    expect(socket.sent).toMatchObject([{ type: 'participant.resume', last_seq: 4 }])
    socket.say(event(5))
    socket.answer({ type: 'ok' })
    await settle()
    expect(log.slice(2)).toEqual(['lost', 'participant_left 5', 'restored true'])
  })

  test('is tried again with growing waits while the server is away', async () => {
    FakeWebSocket.latest.say(snapshot(1))
    FakeWebSocket.reachable = () => false
    FakeWebSocket.latest.drop(1006)
    const opened: number[] = []
    for (let second = 1; second <= 16; second++) {
      await vi.advanceTimersByTimeAsync(1_000)
      opened.push(FakeWebSocket.all.length - 1)
    }
    expect(opened).toEqual([2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5])
  })

  test('is given up in the end', async () => {
    FakeWebSocket.latest.say(snapshot(1))
    FakeWebSocket.reachable = () => false
    FakeWebSocket.latest.drop(1006)
    await vi.advanceTimersByTimeAsync(80_000)
    expect(log.at(-1)).toBe('closed 0')
  })

  test('that the server does not know any more asks for a hello', async () => {
    FakeWebSocket.latest.say(snapshot(1))
    FakeWebSocket.latest.drop(4002)
    await vi.advanceTimersByTimeAsync(1_000)
    FakeWebSocket.latest.answer({ type: 'error', code: 'session_unknown', message: 'Say hello.' })
    await settle()
    expect(log.at(-1)).toBe('restored false')
  })

  test('from the lobby starts anew with the join token', async () => {
    FakeWebSocket.latest.drop(1006)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(FakeWebSocket.latest.protocols[1]).toBe('bearer.join')
    expect(FakeWebSocket.latest.sent).toEqual([])
    expect(log).toEqual(['lost', 'restored false'])
  })

  test.each([1000, 4001, 4101, 4103, 4104])('with close code %i is the end', async code => {
    FakeWebSocket.latest.say(snapshot(1))
    FakeWebSocket.latest.drop(code)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(log).toEqual(['snapshot 1', `closed ${code}`])
    expect(FakeWebSocket.all).toHaveLength(1)
  })
})

describe('a socket that may be dead', () => {
  const resumed = async (): Promise<void> => {
    FakeWebSocket.latest.answer({ type: 'ok' })
    await settle()
  }

  test('is kept when it answers, and left for another one when it does not', async () => {
    FakeWebSocket.latest.say(snapshot(1))
    const lives = session.probe(500)
    FakeWebSocket.latest.answer({ type: 'ok' })
    expect(await lives).toBe(true)
    const dies = session.probe(500)
    await vi.advanceTimersByTimeAsync(500)
    expect(await dies).toBe(false)
    await settle()
    expect(FakeWebSocket.all).toHaveLength(2)
    await resumed()
    expect(log.slice(1)).toEqual(['lost', 'restored true'])
  })

  test('is asked now and then', async () => {
    FakeWebSocket.latest.say(snapshot(1))
    await vi.advanceTimersByTimeAsync(10_000)
    expect(FakeWebSocket.latest.sent).toMatchObject([{ type: 'participant.resume', last_seq: 1 }])
    await vi.advanceTimersByTimeAsync(5_000)
    expect(log.slice(1)).toEqual(['lost'])
  })

  test('holds nothing up when the network has changed', async () => {
    const old = FakeWebSocket.latest
    old.say(snapshot(1))
    const asked = expect(session.request('room.lock', {})).rejects.toMatchObject({ code: 'closed' })
    session.renew()
    await asked
    await settle()
    expect(FakeWebSocket.all).toHaveLength(2)
    await resumed()
    old.say(event(2))
    expect(log.slice(1)).toEqual(['lost', 'restored true'])
  })
})

describe('while there is no network', () => {
  test('no attempt is made until it changes, but one is not held back for ever', async () => {
    session.close()
    let online = true
    session = new Session({
      urls: ['ws://node/v1/signal'],
      token: 'join',
      backoff: new Backoff(1_000, 8_000, () => 1),
      online: () => online,
    })
    await session.open()
    FakeWebSocket.latest.say(snapshot(1))
    FakeWebSocket.all = []
    FakeWebSocket.reachable = () => false
    online = false
    session.renew()
    await vi.advanceTimersByTimeAsync(4_900)
    expect(FakeWebSocket.all).toHaveLength(0)
    await vi.advanceTimersByTimeAsync(200)
    expect(FakeWebSocket.all).toHaveLength(1)
    online = true
    FakeWebSocket.reachable = () => true
    session.renew()
    await settle()
    expect(FakeWebSocket.all).toHaveLength(2)
  })

  test('an attempt over the old one is given up', async () => {
    FakeWebSocket.latest.say(snapshot(1))
    const silent = vi.spyOn(FakeWebSocket.prototype, 'drop').mockImplementation(() => undefined)
    FakeWebSocket.reachable = () => false
    session.renew()
    await settle()
    expect(FakeWebSocket.all).toHaveLength(2)
    FakeWebSocket.reachable = () => true
    session.renew()
    await settle()
    expect(FakeWebSocket.all).toHaveLength(3)
    silent.mockRestore()
  })
})

test('nothing is offered before the server has said what it still knows', async () => {
  FakeWebSocket.latest.say(snapshot(1))
  FakeWebSocket.latest.drop(1006)
  await settle()
  await expect(session.request('participant.offer', { sdp_offer: 'x' })).rejects.toMatchObject({ code: 'closed' })
  FakeWebSocket.latest.answer({ type: 'ok' })
  await settle()
  session.request('participant.offer', { sdp_offer: 'x' }).catch(() => undefined)
  expect(FakeWebSocket.latest.sent.at(-1)).toMatchObject({ type: 'participant.offer' })
})

test('where the media are is tried every second time, the others in turn', async () => {
  session.close()
  session = new Session({
    urls: ['ws://a/', 'ws://b/', 'ws://c/'],
    token: 'join',
    backoff: new Backoff(100, 100, () => 1),
  })
  await session.open()
  FakeWebSocket.latest.say(snapshot(1))
  FakeWebSocket.reachable = () => false
  FakeWebSocket.all = []
  session.renew()
  await vi.advanceTimersByTimeAsync(550)
  expect(FakeWebSocket.all.map(socket => socket.url.at(5))).toEqual(['a', 'b', 'a', 'c', 'a', 'b'])
})

test('a closed session stays closed', async () => {
  FakeWebSocket.latest.say(snapshot(1))
  session.close()
  await vi.advanceTimersByTimeAsync(60_000)
  expect(log).toEqual(['snapshot 1'])
  expect(FakeWebSocket.all).toHaveLength(1)
})
