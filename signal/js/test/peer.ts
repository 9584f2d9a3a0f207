import { vi } from 'vitest'

/** A media track without media. */
export class FakeTrack {
  enabled = true
  onended = null
  constructor(
    readonly kind: string,
    readonly id = `${kind}-${FakeTrack.count++}`,
  ) {}
  stop(): void {}
  static count = 0
}

class FakeStream {
  readonly id = `stream-${FakeTrack.count++}`
  #tracks: FakeTrack[]
  constructor(tracks: FakeTrack[] = []) {
    this.#tracks = [...tracks]
  }
  getTracks = (): FakeTrack[] => [...this.#tracks]
  addTrack = (track: FakeTrack): void => void this.#tracks.push(track)
  removeTrack = (track: FakeTrack): void => {
    this.#tracks = this.#tracks.filter(one => one !== track)
  }
}

class FakeTransceiver {
  mid: string | null = null
  readonly receiver: { track: FakeTrack; getSynchronizationSources(): { timestamp: number }[] }
  readonly sender: {
    track: FakeTrack | null
    replaceTrack(track: FakeTrack | null): Promise<void>
    getParameters(): { encodings: { rid: string; active: boolean }[] }
    setParameters(parameters: { encodings: { rid: string; active: boolean }[] }): Promise<void>
  }
  constructor(
    kind: string,
    public direction: string,
    encodings: { rid: string; active: boolean }[],
    track: FakeTrack | null,
    heardAt: () => number,
  ) {
    this.receiver = { track: new FakeTrack(kind), getSynchronizationSources: () => [{ timestamp: heardAt() }] }
    const sender: FakeTransceiver['sender'] = {
      track,
      replaceTrack: async track => {
        sender.track = track
      },
      getParameters: () => structuredClone({ encodings }),
      setParameters: async parameters => {
        encodings = parameters.encodings
      },
    }
    this.sender = sender
  }
  /** Its part of an offer. */
  section(mid: number): string {
    const { kind } = this.receiver.track
    return [`m=${kind} 9`, `a=mid:${mid}`, `a=${this.direction}`, 'a=rtpmap:111 opus/48000/2'].join('\r\n')
  }
}

/** An RTCPeerConnection without a network, driven by a test. Mids count from `base`, so that two connections differ. */
export class FakePeer {
  static all: FakePeer[] = []
  /** What new ones wait for, in turn, before an offer or an answer counts: a browser has a queue of them. */
  static busy: Promise<unknown> = Promise.resolve()
  /** Offers with this in them are refused. */
  static refuses: string | undefined
  #queue = FakePeer.busy
  readonly transceivers: FakeTransceiver[] = []
  readonly base = FakePeer.all.length * 100
  connectionState = 'new'
  signalingState = 'stable'
  localDescription: { sdp: string } | null = null
  onconnectionstatechange: (() => void) | null = null
  /** The mids that something has come through. */
  received: string[] = []
  /** What has come over the path: packets of media, and answered checks. */
  readonly arrived = { media: 0, answers: 0 }
  /** When media was last heard or seen; 0 is never. */
  heardAt = 0

  constructor() {
    FakePeer.all.push(this)
  }

  /** Replaces the browser's WebRTC for the tests of a file. */
  static install(): void {
    FakePeer.all = []
    FakePeer.busy = Promise.resolve()
    FakePeer.refuses = undefined
    vi.stubGlobal('RTCPeerConnection', FakePeer)
    vi.stubGlobal('MediaStream', FakeStream)
    vi.stubGlobal('RTCRtpSender', { getCapabilities: () => null })
    vi.stubGlobal('RTCRtpReceiver', { getCapabilities: () => null })
  }

  static get latest(): FakePeer {
    const peer = FakePeer.all.at(-1)
    if (!peer) throw new Error('no connection was made')
    return peer
  }

  addTransceiver(of: string | FakeTrack, init: { direction: string; sendEncodings?: [] }): FakeTransceiver {
    const kind = typeof of === 'string' ? of : of.kind
    const track = typeof of === 'string' ? null : of
    const made = new FakeTransceiver(kind, init.direction, init.sendEncodings ?? [], track, () => this.heardAt)
    this.transceivers.push(made)
    return made
  }
  createOffer = async (): Promise<{ sdp: string }> => ({
    sdp: [`offer ${this.base}`, ...this.transceivers.map((one, i) => one.section(this.base + i)), ''].join('\r\n'),
  })
  setLocalDescription(description: { sdp: string }): Promise<void> {
    return this.#inTurn(() => {
      if (FakePeer.refuses && description.sdp.includes(FakePeer.refuses)) throw new Error('refused')
      this.localDescription = description
      this.signalingState = 'have-local-offer'
      for (const [i, one] of this.transceivers.entries()) one.mid ??= String(this.base + i)
    })
  }
  setRemoteDescription(): Promise<void> {
    return this.#inTurn(() => {
      if (this.signalingState !== 'have-local-offer') throw new Error('there is no offer')
      this.signalingState = 'stable'
    })
  }
  #inTurn(what: () => void): Promise<void> {
    const turn = this.#queue.then(what)
    this.#queue = turn.catch(() => undefined)
    return turn
  }
  getConfiguration = (): object => ({})
  setConfiguration(): void {}
  getStats = async (): Promise<Map<string, object>> => {
    const { media, answers } = this.arrived
    const pair = { type: 'candidate-pair', packetsReceived: media, responsesReceived: answers }
    const inbound = this.received.map((mid): [string, object] => {
      const { kind } = (this.transceivers.find(one => one.mid === mid) as FakeTransceiver).receiver.track
      return [mid, { type: 'inbound-rtp', kind, mid, framesDecoded: 1, packetsReceived: media || 1 }]
    })
    return new Map([['pair', pair], ...inbound])
  }
  /** The path comes up, or goes down. */
  become(state: string): void {
    this.connectionState = state
    this.onconnectionstatechange?.()
  }
  close(): void {
    this.connectionState = 'closed'
  }
  /** The mid of the nth line of a kind and direction. */
  mid(kind: string, direction: string, n = 0): string {
    return (
      this.transceivers.filter(one => one.receiver.track.kind === kind && one.direction === direction)[n]?.mid ?? ''
    )
  }
}
