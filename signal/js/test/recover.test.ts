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
const fullSlot = {
  mid: '2',
  kind: 'audio',
  state: 'active',
  track_id: 'voice',
  participant_id: 'other',
  source: 'microphone',
}

/** Offers that the latest socket has carried. */
const offers = (): unknown[] => FakeWebSocket.latest.sent.filter(one => one.type === 'participant.offer')

/** Media comes for a second. */
async function flow(): Promise<void> {
  const peer = FakePeer.latest
  for (let i = 0; i < 10; i++) {
    peer.heardAt++
    peer.arrived.media++
    await tick(100)
  }
}

/** The path lives, as far as checks show, for a while; the server answers offers. Returns when offers came, in seconds. */
async function checksAlone(seconds: number): Promise<number[]> {
  const came: number[] = []
  for (let i = 0; i < seconds * 10; i++) {
    FakePeer.latest.arrived.answers++
    await tick(100)
    if (answerOffer()) came.push(i / 10)
  }
  return came
}

/** Answers the latest request, where it is an offer without an answer. */
function answerOffer(): boolean {
  const latest = FakeWebSocket.latest.sent.at(-1)
  if (FakePeer.latest.signalingState !== 'have-local-offer' || latest?.type !== 'participant.offer') return false
  FakeWebSocket.latest.answer({ type: 'sfu.answer', sdp_answer: 'answer' })
  return true
}

beforeEach(async () => {
  vi.useFakeTimers()
  vi.spyOn(Math, 'random').mockReturnValue(0.5) // waits are drawn by lot
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
  vi.restoreAllMocks()
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

test('a restart that was answered and brings nothing is followed by others, ever more rarely, until something comes', async () => {
  FakeWebSocket.latest.say({ type: 'media.slots', seq: 2, slots: [fullSlot] })
  await flow()
  const came = await checksAlone(120)
  expect(came.length).toBeGreaterThanOrEqual(4)
  expect(came.length).toBeLessThanOrEqual(12)
  expect(came[0]).toBeLessThan(10)
  expect(Math.min(...came.slice(1).map((at, i) => at - (came[i] ?? 0)))).toBeGreaterThan(2)
  FakePeer.latest.received = ['2']
  const count = offers().length
  for (let i = 0; i < 60; i++) await flow()
  expect(offers()).toHaveLength(count)
})

test('while nothing is expected answered checks are enough', async () => {
  await flow()
  expect(await checksAlone(120)).toEqual([])
})

test('a search that the socket did not outlive is begun again over the next one', async () => {
  FakeWebSocket.latest.say({ type: 'media.slots', seq: 2, slots: [fullSlot] })
  await flow()
  machine.dispatchEvent(new Event('online'))
  await tick(100)
  expect(offers()).toHaveLength(1)
  FakePeer.latest.signalingState = 'stable' // as after a rollback: nothing but the client knows that a search is due
  FakeWebSocket.latest.drop(1006)
  await tick(1_000)
  expect(FakeWebSocket.all).toHaveLength(3)
  expect(offers()).toHaveLength(1)
})

test('a path that stays broken after a restart is looked for again, ever more rarely', async () => {
  FakePeer.latest.become('disconnected')
  let count = 0
  for (let i = 0; i < 1_200; i++) {
    await tick(100)
    if (answerOffer()) count++
  }
  expect(count).toBeGreaterThanOrEqual(5)
  expect(count).toBeLessThanOrEqual(40)
  FakePeer.latest.become('connected')
  await tick(30_000)
  expect(answerOffer()).toBe(false)
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
