import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Client } from '../src/client.ts'
import type { Slot, Track } from '../src/wire.ts'
import { FakePeer, FakeTrack } from './peer.ts'
import { FakeWebSocket } from './websocket.ts'

let client: Client
let log: string[]
let old: FakeWebSocket

const settings = { max_participants: 9, max_cameras: 9, waiting_room: false, guests: true, locked: false }
const person = (id: string): object => ({
  id,
  display_name: id,
  role: 'attendee',
  audio_muted: true,
  video_muted: true,
  hand_raised: false,
  screen_sharing: false,
})
const camera = (of: string): Track => ({
  id: `tr_${of}`,
  participant_id: of,
  kind: 'video',
  source: 'camera',
  layers: [],
})
const shows = (mid: string, of: string): Slot => ({
  mid,
  track_id: `tr_${of}`,
  participant_id: of,
  kind: 'video',
  source: 'camera',
  state: 'active',
})
const snapshot = (slots: Slot[], ...ids: string[]): object => ({
  type: 'room.snapshot',
  seq: 1,
  self: person('me'),
  settings,
  participants: ['me', ...ids].map(person),
  tracks: ids.map(camera),
  slots,
  speakers: [],
  resume_token: 'resume',
})
const line = (seq: number, text: string): object => ({ type: 'chat.message', seq, from: 'x', text, sent_at: text })
const tick = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)
const migrate = {
  type: 'session.migrate',
  signal_endpoint: 'ws://new/v1/signal',
  sfu_endpoint: 'new:1',
  join_token: 'moves',
}

/** Answers the hello that a socket has sent. */
async function admit(socket: FakeWebSocket, peer: FakePeer, ...ids: string[]): Promise<void> {
  await tick()
  const hello = socket.sent.find(one => one.type === 'participant.hello')
  expect(hello).toMatchObject({ participant_id: 'me', sdp_offer: expect.stringMatching(`^offer ${peer.base}\\s`) })
  socket.say({ type: 'sfu.answer', reply_to: hello?.id, sdp_answer: 'answer' })
  await tick()
  socket.say(snapshot([shows(peer.mid('video', 'recvonly'), 'ada')], ...ids))
  await tick()
}

beforeEach(async () => {
  vi.useFakeTimers()
  FakeWebSocket.install()
  FakeWebSocket.alive = true
  FakePeer.install()
  const ticket = {
    participant_id: 'me',
    join_token: 'join',
    signal_endpoint: 'ws://old/v1/signal',
    sfu_endpoint: 'old:1',
    alternates: [{ signal_endpoint: 'ws://third/v1/signal' }, { signal_endpoint: 'ws://new/v1/signal' }],
  }
  vi.stubGlobal('fetch', async () => new Response(JSON.stringify(ticket), { status: 200 }))
  client = new Client({ base: 'http://old' })
  log = []
  client.on('state', state => log.push(state))
  client.on('migrated', () => log.push('migrated'))
  client.on('chat', ({ text }) => log.push(text))
  const joined = client.join({ meetingId: 'mtg_1', displayName: 'Me' })
  await tick()
  old = FakeWebSocket.latest
  await admit(old, FakePeer.latest, 'ada')
  await joined
  FakePeer.latest.become('connected')
  client.show([{ trackId: 'tr_ada', width: 320, height: 180 }])
  await tick()
  log = []
})
afterEach(() => {
  client.leave()
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

/** Has the server ask, and the new node take the client in. */
async function begin(): Promise<{ socket: FakeWebSocket; peer: FakePeer }> {
  old.say(migrate)
  await tick()
  await admit(FakeWebSocket.latest, FakePeer.latest, 'ada')
  return { socket: FakeWebSocket.latest, peer: FakePeer.latest }
}

describe('a move to another node', () => {
  test('keeps both paths until the new one shows what the old one does', async () => {
    const [first] = FakePeer.all as [FakePeer]
    const stream = client.streamOf('tr_ada')
    first.received = [first.mid('video', 'recvonly')]
    const { socket, peer } = await begin()
    expect(socket.url).toBe('ws://new/v1/signal')
    expect(socket.protocols[1]).toBe('bearer.moves')
    peer.become('connected')
    await tick(200)
    expect(log).toEqual([])
    old.say(line(2, 'both'))
    socket.say(line(2, 'both'))
    socket.say(line(3, 'new alone'))
    expect(log).toEqual(['both'])

    peer.received = [peer.mid('video', 'recvonly')]
    await tick(100)
    expect(log).toEqual(['both', 'new alone', 'migrated'])
    expect(client.state).toBe('joined')
    expect(client.path).toBe('connected')
    expect(client.streamOf('tr_ada')).toBe(stream)
    expect(stream?.getTracks()).toEqual([
      peer.transceivers.find(one => one.mid === peer.mid('video', 'recvonly'))?.receiver.track,
    ])

    old.say(line(3, 'new alone'))
    old.say({ type: 'room.participant_left', seq: 4, participant: person('ada') })
    expect(client.roster.participants).toHaveLength(2)
    expect(old.readyState).toBe(FakeWebSocket.OPEN)
    await tick(1_000)
    expect(old.readyState).toBe(3)
    expect(first.connectionState).toBe('closed')
    socket.say(line(4, 'goes on'))
    expect(log).toEqual(['both', 'new alone', 'migrated', 'goes on'])
    const said = socket.sent.find(one => one.type === 'subscription.update')
    expect(said).toMatchObject({ slots: [{ mid: peer.mid('video', 'recvonly'), track_id: 'tr_ada' }] })
    expect(socket.sent.some(one => one.type === 'presence.update')).toBe(true)
  })

  test('waits no longer than 2 s for the picture', async () => {
    const [first] = FakePeer.all as [FakePeer]
    first.received = [first.mid('video', 'recvonly')]
    const { peer } = await begin()
    peer.become('connected')
    await tick(1_900)
    expect(log).toEqual([])
    await tick(200)
    expect(log).toEqual(['migrated'])
  })

  test('sends the same tracks over both connections', async () => {
    const track = new FakeTrack('video')
    const media = { getUserMedia: async () => ({ getTracks: () => [track] }) }
    vi.stubGlobal('navigator', { mediaDevices: media })
    await client.local.openCamera()
    const { peer } = await begin()
    const [first] = FakePeer.all as [FakePeer]
    for (const one of [first, peer]) {
      expect(one.transceivers.find(line => line.mid === one.mid('video', 'sendonly'))?.sender.track).toBe(track)
    }
  })

  test('sends no layer that nobody wanted, until it is said or over', async () => {
    const own = { id: 'tr_me', participant_id: 'me', kind: 'video', source: 'camera', layers: ['q', 'h', 'f'] }
    const sent = (peer: FakePeer): string[] =>
      (peer.transceivers.find(one => one.mid === peer.mid('video', 'sendonly'))?.sender.getParameters().encodings ?? [])
        .filter(one => one.active)
        .map(one => one.rid)
    old.say({ type: 'room.track_published', seq: 2, track: own })
    old.say({ type: 'media.layers', seq: 3, track_id: 'tr_me', wanted: ['q'] })
    await tick()
    const [first] = FakePeer.all as [FakePeer]
    expect(sent(first)).toEqual(['q'])
    const { socket, peer } = await begin()
    expect(sent(peer)).toEqual(['q'])
    socket.say({ type: 'room.track_published', seq: 2, track: own })
    peer.become('connected')
    await tick(100)
    expect(log).toEqual(['migrated'])
    expect(sent(peer)).toEqual(['q', 'h', 'f'])
    socket.say({ type: 'media.layers', seq: 3, track_id: 'tr_me', wanted: ['h'] })
    await tick()
    expect(sent(peer)).toEqual(['h'])
  })

  test('keeps the hand up that was raised meanwhile', async () => {
    const { socket, peer } = await begin()
    client.raiseHand(true)
    old.answer({ type: 'ok' })
    old.say({ type: 'room.presence_changed', seq: 2, participant_id: 'me', hand_raised: false })
    await tick(1_500)
    peer.become('connected')
    await tick(100)
    expect(log).toEqual(['migrated'])
    expect(client.handRaised).toBe(true)
    expect(socket.sent.find(one => one.type === 'presence.update')).toMatchObject({ hand_raised: true })
  })

  test('goes on at once when the old socket is lost, and takes the other candidates along', async () => {
    const { socket } = await begin()
    old.drop(4002)
    await tick(100)
    expect(log).toEqual(['reconnecting', 'joined', 'migrated'])
    FakeWebSocket.reachable = url => url.includes('third')
    socket.drop(1006)
    await tick(20_000)
    expect(FakeWebSocket.latest.url).toBe('ws://third/v1/signal')
    expect(FakeWebSocket.all.filter(one => one.url.includes('old'))).toHaveLength(1)
  })

  test('comes to nothing, unnoticed, where the node cannot be reached', async () => {
    FakeWebSocket.reachable = () => false
    old.say(migrate)
    await tick(20_000)
    expect(log).toEqual([])
    FakeWebSocket.reachable = () => true
    old.say(line(2, 'still here'))
    expect(log).toEqual(['still here'])
    const { peer } = await begin()
    peer.become('connected')
    await tick(100)
    expect(log).toEqual(['still here', 'migrated'])
  })

  test.each([
    ['refuses', { type: 'error', code: 'room_full', message: 'Full.' }],
    ['takes no camera', { type: 'sfu.answer', sdp_answer: 'answer', refused: ['1'] }],
  ])('comes to nothing where the node %s', async (_, answer) => {
    old.say(migrate)
    await tick()
    FakeWebSocket.latest.answer(answer)
    await tick(20_000)
    expect(log).toEqual([])
    expect(FakeWebSocket.latest.readyState).toBe(3)
    expect(FakePeer.latest.connectionState).toBe('closed')
    expect(old.readyState).toBe(FakeWebSocket.OPEN)
  })

  test('comes to nothing where media has no way to the node', async () => {
    const { socket, peer } = await begin()
    await tick(5_900)
    expect(socket.readyState).toBe(FakeWebSocket.OPEN)
    await tick(200)
    expect([socket.readyState, peer.connectionState, old.readyState]).toEqual([3, 'closed', FakeWebSocket.OPEN])
    expect(log).toEqual([])
  })

  test('ends with the meeting', async () => {
    const { socket, peer } = await begin()
    old.drop(4103)
    await tick()
    expect(log).toEqual(['closed'])
    expect([socket.readyState, peer.connectionState]).toEqual([3, 'closed'])
  })

  test('from lobby to lobby needs no media', async () => {
    old.say(migrate)
    await tick()
    FakeWebSocket.latest.say({ type: 'room.waiting', seq: 1, reason: 'locked' })
    await tick()
    expect(log).toEqual(['waiting', 'migrated'])
    expect(client.waitingFor).toBe('locked')
    await admit(FakeWebSocket.latest, FakePeer.latest, 'ada')
    expect(client.state).toBe('joined')
  })
})

test('a client that has moved can join another meeting', async () => {
  const { peer } = await begin()
  peer.become('connected')
  await tick(100)
  client.leave()
  const joined = client.join({ meetingId: 'mtg_2', displayName: 'Me' })
  await tick()
  await admit(FakeWebSocket.latest, FakePeer.latest)
  await joined
  client.raiseHand(true)
  expect(FakeWebSocket.latest.sent.at(-1)).toMatchObject({ type: 'presence.update', hand_raised: true })
  client.show([{ trackId: 'tr_ada', width: 320, height: 180 }])
})
