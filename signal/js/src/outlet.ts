import { type Scaled, shrink } from './codec.ts'
import { Serial } from './serial.ts'

/** What a participant can publish. */
export type Source = 'camera' | 'microphone' | 'screen' | 'screen_audio'

/** What somebody watches of a track. */
export interface Wanted {
  readonly layers: readonly string[]
  /** How many sizes, the smallest first, of a picture that has several in itself; undefined: all. */
  readonly sizes?: number | undefined
}

/**
 * One sending m-line, there from the first offer on. Tracks come and go in it without SDP: another camera, mute and
 * unmute are a replaced track, a layer nobody watches is an inactive encoding, or none in a stream that
 * has several in itself.
 */
export class Outlet {
  /** The m-line's identification; null before the first offer. */
  mid: string | null = null
  #refused = false
  readonly #changes = new Serial()
  #wanted: Wanted | undefined

  /** The mode is that of a picture which has layers in itself, as a whole. */
  constructor(
    readonly source: Source,
    readonly transceiver: RTCRtpTransceiver,
    readonly mode?: string,
  ) {}

  /** Whether the server turned the m-line down, for example because the room has all the cameras it may have. */
  get refused(): boolean {
    return this.#refused
  }

  /** Takes the server's refusal: the m-line rests until it is offered again. */
  rest(): void {
    this.#refused = true
    this.transceiver.direction = 'inactive'
  }

  /** Has the next offer ask for the m-line again. */
  ask(): void {
    this.#refused = false
    this.transceiver.direction = 'sendonly'
  }

  /** Sends the track from now on, or nothing. */
  setTrack(track: MediaStreamTrack | null): Promise<void> {
    return this.#changes.run(async () => {
      if (this.transceiver.sender.track !== track) await this.transceiver.sender.replaceTrack(track)
    })
  }

  /** Sends only the layers that somebody watches. */
  setLayers(wanted: Wanted | undefined): Promise<void> {
    this.#wanted = wanted
    return this.#changes.run(() => this.#applyLayers())
  }

  /** The layers that are sent; undefined: all. */
  get wanted(): Wanted | undefined {
    return this.#wanted
  }

  /** Says again what was said before; needed after negotiating, which resets the encodings in some browsers. */
  refresh(): Promise<void> {
    return this.#changes.run(() => this.#applyLayers())
  }

  async #applyLayers(): Promise<void> {
    const layers = this.#wanted?.layers
    const scaled = this.mode && shrink(this.mode, this.#wanted?.sizes)
    const parameters = this.transceiver.sender.getParameters()
    // Without negotiated encodings there is nothing to switch yet.
    if (!parameters.encodings?.length) return
    let changed = false
    for (const encoding of parameters.encodings as (RTCRtpEncodingParameters & Partial<Scaled>)[]) {
      const active = !layers || (encoding.rid === undefined ? layers.length > 0 : layers.includes(encoding.rid))
      changed ||= encoding.active !== active
      encoding.active = active
      // What nobody watches at all may stay as it is. Browsers that make no such stream name no mode.
      const { scalabilityMode } = encoding
      if (!scaled || !active || !scalabilityMode || scalabilityMode === scaled.scalabilityMode) continue
      changed = true
      Object.assign(encoding, scaled)
    }
    if (changed) await this.transceiver.sender.setParameters(parameters)
  }
}
