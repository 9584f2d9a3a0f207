import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Client } from '../src/client.ts'
import { FakePeer } from './peer.ts'
import { FakeWebSocket } from './websocket.ts'

let client: Client
let log: string[]
let machine: EventTarget
const tick = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)
const me = {
  id: 'me',
  display_name: 'Me',
  role: 'attendee',
  audio_muted: true,
  video_muted: true,
  hand_raised: false,
  screen_sharing: false,
}
const snapshot = (seq: number, slots: object[]): object => ({
  type: 'room.snapshot',
  seq,
  self: me,
  settings: { max_participants: 9, max_cameras: 9, waiting_room: false, guests: true, locked: false },
  participants: [me],
  tracks: [],
  slots,
  speakers: [],
  resume_token: 'resume',
})
const someSlot = { mid: '2', kind: 'audio', state: 'empty' }

/** Offers that the latest socket has carried. */
const offers = (): unknown[] => FakeWebSocket.latest.sent.filter(one => one.type === 'participant.offer')

beforeEach(async () => {
  vi.useFakeTimers()
  FakeWebSocket.install()
  FakeWebSocket.alive = true
  FakePeer.install()
  machine = new EventTarget()
  vi.stubGlobal('addEventListener', machine.addEventListener.bind(machine))
  const ticket = {
    participant_id: 'me',
    join_token: 'join',
    signal_endpoint: 'ws://node/',
    sfu_endpoint: 'node:1',
    alternates: [],
  }
  vi.stubGlobal('fetch', async () => new Response(JSON.stringify(ticket), { status: 200 }))
  client = new Client({ base: 'http://node' })
  const joined = client.join({ meetingId: 'mtg_1', displayName: 'Me' })
  await tick()
  const hello = FakeWebSocket.latest.sent.find(one => one.type === 'participant.hello')
  FakeWebSocket.latest.say({ type: 'sfu.answer', reply_to: hello?.id, sdp_answer: 'answer' })
  await tick()
  FakeWebSocket.latest.say(snapshot(1, [someSlot]))
  await joined
  FakePeer.latest.become('connected')
  log = []
  client.on('state', state => log.push(state))
  client.on('rejoined', () => log.push('rejoined'))
})
afterEach(() => {
  client.leave()
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

test('a lost socket alone is resumed, and media is left alone', async () => {
  FakeWebSocket.latest.drop(1006)
  await tick(100)
  expect(log).toEqual(['reconnecting', 'joined'])
  expect(offers()).toEqual([])
  expect(FakePeer.all).toHaveLength(1)
})

test('after a change of network there is a new socket at once, and then another path for the same connection', async () => {
  machine.dispatchEvent(new Event('online'))
  await tick(100)
  expect(FakeWebSocket.all).toHaveLength(2)
  expect(FakeWebSocket.latest.protocols[1]).toBe('bearer.resume')
  expect(log).toEqual(['reconnecting', 'joined'])
  expect(offers()).toHaveLength(1)
  expect(FakePeer.all).toHaveLength(1)
})

test('a path that breaks alone is looked for anew over the living socket', async () => {
  FakePeer.latest.become('disconnected')
  await tick(1_000)
  expect(FakeWebSocket.all).toHaveLength(1)
  expect(offers()).toHaveLength(1)
  expect(log).toEqual([])
})

test('who was away for too long joins anew, and is told', async () => {
  FakeWebSocket.alive = false
  FakeWebSocket.latest.drop(1006)
  await tick(100)
  FakeWebSocket.latest.say(snapshot(1, []))
  await tick()
  expect(FakeWebSocket.latest.sent.map(one => one.type)).toContain('participant.hello')
  expect(FakePeer.all).toHaveLength(2)
  expect(log).toContain('rejoined')
})

test('fresh credentials are used for the next path', async () => {
  const set = vi.spyOn(FakePeer.latest, 'setConfiguration')
  const servers = [{ urls: ['turn:relay'], username: 'u', credential: 'c' }]
  FakeWebSocket.latest.say({ type: 'session.ice_servers', ice_servers: servers })
  expect(set).toHaveBeenCalledWith(expect.objectContaining({ iceServers: servers }))
})
