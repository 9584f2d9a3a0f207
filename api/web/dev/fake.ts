import {
  type Chat,
  type Client,
  type ClientEvents,
  Emitter,
  LocalMedia,
  Roster,
  type Slot,
  type StatsDigest,
} from '@parley-sfu/client'

/** What the fake room holds. */
export interface Scene {
  people: number
  host?: boolean
  dark?: number[]
  muted?: number[]
  hands?: number[]
  speaking?: number[]
  sharing?: number
  knocking?: number
  locked?: boolean
  chat?: boolean
  state?: Client['state']
  reason?: Client['reason']
}

const names = [
  'Blue Room',
  'Weißer Saal',
  'Green Room',
  'Salón Rosa',
  'Gold Room',
  'Mezzanine-East',
  'Attic',
  'Room at Six O’Clock',
  'Slate Room',
  'Elif Demir',
  'Marta Kowalczyk-Lindqvist',
  'Bo',
  'Priya S.',
  'Anders Holm',
  'Zoë Dubois',
  'Kwame Mensah',
  'Hana Novotná',
  'Luis Ortega',
  'Freya Nilsen',
  'Omar Haddad',
]

/** A client of a room that exists only here, for looking at the page. */
export class FakeClient extends Emitter<ClientEvents> {
  readonly roster = new Roster()
  readonly local = new LocalMedia()
  readonly state: Client['state']
  readonly reason: Client['reason']
  readonly error = undefined
  readonly waitingFor = 'waiting_room'
  readonly path: Client['path'] = 'connected'
  readonly sdpExchanges = 1
  readonly audioStreams = []
  readonly problems = []
  readonly handRaised: boolean
  readonly messages: Chat[]
  readonly #streams = new Map<string, MediaStream>()

  constructor(scene: Scene) {
    super()
    this.state = scene.state ?? 'joined'
    this.reason = scene.reason
    this.handRaised = scene.hands?.includes(0) ?? false
    this.messages = scene.chat ? talk : []
    const participants = Array.from({ length: scene.people }, (_, i) => ({
      id: `pt_${i}`,
      display_name: names[i % names.length] ?? '',
      role: scene.host && i === 0 ? ('host' as const) : ('attendee' as const),
      audio_muted: scene.muted?.includes(i) ?? false,
      video_muted: scene.dark?.includes(i) ?? false,
      hand_raised: scene.hands?.includes(i) ?? false,
      screen_sharing: scene.sharing === i,
    }))
    const tracks = participants.flatMap(one => [
      {
        id: `tr_${one.id}_camera`,
        participant_id: one.id,
        kind: 'video' as const,
        source: 'camera' as const,
        layers: [],
      },
      ...(one.screen_sharing
        ? [
            {
              id: `tr_${one.id}_screen`,
              participant_id: one.id,
              kind: 'video' as const,
              source: 'screen' as const,
              layers: [],
            },
          ]
        : []),
    ])
    const [self] = participants
    if (!self) return
    this.roster.apply({
      type: 'room.snapshot',
      seq: 1,
      self,
      participants,
      tracks,
      settings: {
        max_participants: 100,
        max_cameras: 25,
        waiting_room: true,
        guests: true,
        locked: scene.locked ?? false,
      },
      slots: participants.slice(1, 5).map((one, i) => slotOf(one.id, i)),
      speakers: (scene.speaking ?? []).map(i => ({ participant_id: `pt_${i}`, level: 20 })),
      waiting: Array.from({ length: scene.knocking ?? 0 }, (_, i) => ({
        id: `pt_k${i}`,
        display_name: names[(i + 7) % names.length] ?? '',
        role: 'attendee' as const,
      })),
      resume_token: '',
    })
    this.roster.apply({ type: 'media.slots', slots: [...this.roster.slots], downlink })
  }

  get self() {
    return this.roster.self
  }

  streamOf(trackId: string): MediaStream {
    const known = this.#streams.get(trackId)
    if (known) return known
    const stream = paint(trackId)
    this.#streams.set(trackId, stream)
    return stream
  }

  show(): void {}
  leave(): void {}
  raiseHand(): void {}

  async stats(): Promise<StatsDigest> {
    const wobble = 1 + Math.sin(Date.now() / 900) / 5
    return {
      at: Date.now(),
      rttMs: 23,
      available: 3e6,
      path: 'udp host → prflx',
      inbound: this.roster.participants.slice(1, 5).map((one, i) => ({
        mid: String(i),
        kind: 'video',
        slot: slotOf(one.id, i),
        codec: 'VP8',
        bitrate: 482_000 * wobble,
        width: 640,
        height: 360,
        fps: 30,
        framesDecoded: 100,
        freezes: i % 2,
        freezeSeconds: (i % 2) * 0.4,
        packetsReceived: 1000,
        packetsLost: 2,
        loss: i * 0.011,
        jitterMs: 4,
        audioEnergy: 0,
      })),
      outbound: ['q', 'h', 'f'].map((rid, i) => ({
        source: 'camera',
        rid,
        active: rid !== 'f',
        codec: 'VP8',
        bitrate: 120_000 * (i + 1),
        width: 320 * 2 ** i,
        height: 180 * 2 ** i,
        fps: 30,
        limitation: 'none',
        nacks: 0,
        keyframes: 1,
      })),
    }
  }
}

const downlink = {
  estimate: 1_240_000,
  wanted: 2_900_000,
  allocated: 1_130_000,
  limit: 'delay',
  queue_ms: 12,
  lost: 0.004,
}

/** The slot of a number: some fit, one is smaller than it could be, one is paused. */
function slotOf(participantId: string, number: number): Slot {
  const short = number >= 2 ? { reason: 'bandwidth' } : {}
  return {
    mid: String(number),
    track_id: `tr_${participantId}_camera`,
    participant_id: participantId,
    kind: 'video',
    source: 'camera',
    layer: number === 2 ? 'q' : 'h',
    state: number === 3 ? 'paused' : 'active',
    ...short,
  }
}

const talk: Chat[] = [
  { from: 'pt_1', text: 'Good morning! Can everyone see the agenda?', sent_at: '2026-01-05T09:00:12.000Z' },
  { from: 'pt_2', text: 'Yes, all good here.', sent_at: '2026-01-05T09:00:40.000Z' },
  { from: 'pt_2', text: 'The numbers for last week are at the end.', sent_at: '2026-01-05T09:00:55.000Z' },
  { from: 'pt_0', text: 'Thanks, let us start with the rollout then.', sent_at: '2026-01-05T09:01:20.000Z' },
  { from: 'pt_3', text: 'Only for you: I have to go at ten.', private: true, sent_at: '2026-01-05T09:02:02.000Z' },
]

/** A moving picture that stands for a camera or a screen. */
function paint(trackId: string): MediaStream {
  const canvas = document.createElement('canvas')
  canvas.width = 640
  canvas.height = 360
  const pen = canvas.getContext('2d') as CanvasRenderingContext2D
  const hue = [...trackId].reduce((sum, letter) => sum + letter.charCodeAt(0) * 37, 0) % 360
  const draw = (): void => {
    const screen = trackId.endsWith('screen')
    pen.fillStyle = screen ? '#f4f5f7' : `hsl(${hue} 28% 34%)`
    pen.fillRect(0, 0, 640, 360)
    if (screen) {
      pen.fillStyle = '#30363d'
      pen.font = '600 26px sans-serif'
      pen.fillText('Rollout, week 12', 40, 60)
      for (let i = 0; i < 8; i++) pen.fillRect(40, 100 + i * 28, 320 + ((i * 97) % 220), 8)
    } else {
      pen.fillStyle = `hsl(${hue + 20} 40% 66%)`
      pen.beginPath()
      pen.arc(320, 150, 70, 0, 7)
      pen.fill()
      pen.beginPath()
      pen.ellipse(320, 360, 150, 120, 0, 0, 7)
      pen.fill()
    }
    requestAnimationFrame(draw)
  }
  draw()
  return canvas.captureStream(10)
}
