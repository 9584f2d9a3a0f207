/** A slot's receiver, as far as it matters to what holds it back. */
export type Played = Pick<RTCRtpReceiver, 'getSynchronizationSources' | 'getStats'> & {
  /** Milliseconds that its buffer holds things back at least. */
  jitterBufferTarget?: number | null
}

/** Sound and picture of one person, or of one screen. */
export interface Pair {
  sound: Played
  picture: Played
}

/** What is held back no longer, in milliseconds: then conversation suffers more than ear and eye. */
export const longest = 400

/** What a buffer had counted. */
interface Counted {
  /** Seconds that all that was played had been kept, added up, and of how many pieces. */
  delay: number
  pieces: number
}

/**
 * The jitter buffer of a receiver, which two have wishes for: repair, that what comes again comes in time, and lips, that it goes with
 * another one. The longer wish counts.
 */
export class Buffer {
  /** Milliseconds that it held things back, of late. */
  length = 0
  #floor = 0
  #wish = 0
  #seen = 0
  #before: Counted = { delay: 0, pieces: 0 }

  constructor(private readonly of: Played) {}

  /** Milliseconds that it is to hold things back at least. */
  get held(): number {
    return Math.max(this.#floor, this.#wish)
  }

  /** Of these, milliseconds that repair takes. */
  get floor(): number {
    return this.#floor
  }

  /** Holds things back for so many milliseconds, for lips; 0 lets go. */
  hold(wish: number): void {
    this.#wish = Math.min(longest, wish)
    this.#apply()
  }

  /** Holds things back for so many milliseconds, for repair; 0 lets go. */
  lift(floor: number): void {
    this.#floor = Math.min(longest, floor)
    this.#apply()
  }

  /** How late things are played, up to a constant that all of one publisher have in common; undefined where nothing new was. */
  late(): number | undefined {
    const newest = this.of.getSynchronizationSources()[0] as
      | { timestamp: number; captureTimestamp?: number }
      | undefined
    if (!newest?.captureTimestamp || this.#seen === newest.timestamp) return undefined
    this.#seen = newest.timestamp
    return newest.timestamp - newest.captureTimestamp
  }

  /** Measures its length since the last time. */
  async measure(): Promise<void> {
    for (const [, report] of await this.of.getStats()) {
      if (report.type !== 'inbound-rtp') continue
      const { jitterBufferDelay: delay = 0, jitterBufferEmittedCount: pieces = 0 } = report
      if (pieces > this.#before.pieces)
        this.length = (1000 * (delay - this.#before.delay)) / (pieces - this.#before.pieces)
      this.#before = { delay, pieces }
    }
  }

  #apply(): void {
    const target = this.held >= 1 ? Math.round(this.held) : null
    if ('jitterBufferTarget' in this.of && this.of.jitterBufferTarget !== target) this.of.jitterBufferTarget = target
  }
}

/** The buffers of receivers, each the same whoever asks. */
export class Buffers {
  readonly #known = new WeakMap<Played, Buffer>()

  of(played: Played): Buffer {
    const known = this.#known.get(played) ?? new Buffer(played)
    this.#known.set(played, known)
    return known
  }
}
