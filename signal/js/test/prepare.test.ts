import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Client } from '../src/client.ts'
import { FakePeer } from './peer.ts'
import { FakeWebSocket } from './websocket.ts'

let client: Client
const tick = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)
const sending = (): number => FakePeer.latest.transceivers.filter(one => one.direction === 'sendonly').length

beforeEach(() => {
  vi.useFakeTimers()
  FakeWebSocket.install()
  FakeWebSocket.alive = true
  FakePeer.install()
  const machine = new EventTarget()
  vi.stubGlobal('addEventListener', machine.addEventListener.bind(machine))
  const ticket = { participant_id: 'me', join_token: 'join', signal_endpoint: 'ws://node/', alternates: [] }
  vi.stubGlobal('fetch', async () => new Response(JSON.stringify(ticket), { status: 200 }))
  client = new Client({ base: 'http://node' })
})
afterEach(() => {
  client.leave()
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

/** Joins as far as without a word from the server. */
async function join(role: 'attendee' | 'viewer'): Promise<void> {
  client.join({ meetingId: 'mtg_1', displayName: 'Me', role }).catch(() => undefined)
  await tick()
}

test('what was prepared is what joins', async () => {
  client.prepare()
  client.prepare()
  await join('attendee')
  client.prepare()
  expect(FakePeer.all).toHaveLength(1)
  expect(FakeWebSocket.latest.sent.map(one => one.type)).toEqual(['participant.hello'])
})

test('what was prepared for another role does not', async () => {
  client.prepare('viewer')
  expect(sending()).toBe(0)
  await join('attendee')
  expect(FakePeer.all.map(one => one.connectionState)).toEqual(['closed', 'new'])
  expect(sending()).toBe(2)
})

test('who leaves without having joined keeps nothing open', () => {
  client.prepare()
  client.leave()
  expect(FakePeer.latest.connectionState).toBe('closed')
  client.prepare()
  expect(FakePeer.latest.connectionState).toBe('new')
})

test('the offer is made while the socket opens, and sent once it has', async () => {
  FakeWebSocket.opens = false
  await join('attendee')
  expect(FakePeer.latest.signalingState).toBe('have-local-offer')
  expect(FakeWebSocket.latest.sent).toEqual([])
  FakeWebSocket.latest.open()
  await tick()
  expect(FakeWebSocket.latest.sent.map(one => one.type)).toEqual(['participant.hello'])
})

/** Answers the hello, and says what the room is like. */
async function letIn(): Promise<void> {
  const socket = FakeWebSocket.latest
  socket.answer({ type: 'sfu.answer', sdp_answer: 'answer' })
  const slots = FakePeer.latest.transceivers.map((_, i) => ({
    mid: String(i),
    kind: 'video',
    state: 'active',
    track_id: `tr_${i}`,
  }))
  socket.say({ type: 'room.snapshot', seq: 1, self: { id: 'me' }, settings: {}, participants: [], tracks: [], slots })
  await tick()
}

test('neither the offer nor the slots wait for a browser that still takes its own offer', async () => {
  let settle = (): void => undefined
  FakePeer.busy = new Promise<void>(resolve => {
    settle = resolve
  })
  await join('attendee')
  expect(FakeWebSocket.latest.sent[0]).toMatchObject({ tracks: [{ mid: '0' }, { mid: '1' }] })
  await letIn()
  expect(FakePeer.latest.localDescription).toBeNull()
  const { receiver } = FakePeer.latest.transceivers[5] as { receiver: { track: unknown } }
  expect(client.streamOf('tr_5')?.getTracks()).toEqual([receiver.track])
  settle()
  await tick()
  expect(FakePeer.latest.signalingState).toBe('stable')
})

test('a browser that takes no changed offer takes its own, and the answer', async () => {
  FakePeer.refuses = ' nack'
  await join('attendee')
  await letIn()
  expect(FakePeer.latest.localDescription?.sdp).not.toContain(' nack')
  expect(FakePeer.latest.signalingState).toBe('stable')
})

test('what has changed since the offer was drafted is offered', async () => {
  client.prepare()
  await tick()
  client.show([])
  await join('viewer')
  expect(FakeWebSocket.latest.sent[0]).toMatchObject({ tracks: [] })
})
