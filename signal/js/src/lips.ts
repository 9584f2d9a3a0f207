import { type Buffer, Buffers, type Pair, type Played } from './buffer.ts'

const captureTime = 'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time'

/** What browsers of Chromium's kind know beyond the types of today. */
interface Negotiating {
  getHeaderExtensionsToNegotiate?(): { uri: string; direction: string }[]
  setHeaderExtensionsToNegotiate?(extensions: { uri: string; direction: string }[]): void
}

/** Has the server tell when what comes through a slot was captured, where the browser understands it. */
export function askWhenCaptured(transceiver: RTCRtpTransceiver): void {
  const negotiating = transceiver as Negotiating
  const known = negotiating.getHeaderExtensionsToNegotiate?.() ?? []
  if (!known.some(one => one.uri === captureTime)) return
  negotiating.setHeaderExtensionsToNegotiate?.(
    known.map(one => (one.uri === captureTime ? { ...one, direction: 'sendrecv' } : one)),
  )
}

/** How often the two are compared, in milliseconds, and how many comparisons make a correction: buffers take a while to do as told. */
const every = 250
const enough = 4
/** The part of a difference that is made up for at once, and the most of it in milliseconds. */
const gain = 0.5
const step = 80
/** A difference that nobody can see, in milliseconds. */
const unseen = 6
/** How far above its target a buffer is that would be as long without it. */
const slack = 25
/** A difference that is none: the server has yet to tell when what a slot shows now was captured. */
const absurd = 2_000

/**
 * Keeps lips and voices together. Browsers do it by themselves only for what belongs together for good, and slots show one person
 * after the other. So here whichever of the two is played sooner is held back in its buffer, by what is measured.
 */
export class Lips {
  #timer: ReturnType<typeof setInterval> | undefined
  /** What is compared now, by its sound, with the differences since the last correction. */
  #compared = new Map<Played, { picture: Played; apart: number[] }>()

  constructor(
    private readonly pairs: () => readonly Pair[],
    private readonly buffers = new Buffers(),
  ) {}

  start(): void {
    this.stop()
    this.#timer = setInterval(() => void this.look(), every)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Compares once, and corrects what has been compared often enough. */
  async look(): Promise<void> {
    const before = this.#compared
    const pairs = this.pairs()
    this.#compared = new Map(
      pairs.map(({ sound, picture }) => {
        const same = before.get(sound)
        return [sound, same?.picture === picture ? same : { picture, apart: [] }]
      }),
    )
    const paired = new Set(pairs.flatMap(({ sound, picture }) => [sound, picture]))
    for (const [sound, { picture }] of before)
      for (const one of [sound, picture]) if (!paired.has(one)) this.buffers.of(one).hold(0)
    await Promise.all([...this.#compared].map(([sound, { picture, apart }]) => this.#compare(sound, picture, apart)))
  }

  async #compare(sound: Played, picture: Played, apart: number[]): Promise<void> {
    const [heard, seen] = [this.buffers.of(sound), this.buffers.of(picture)]
    const difference = (seen.late() ?? Number.NaN) - (heard.late() ?? Number.NaN)
    if (Math.abs(difference) < absurd) apart.push(difference)
    if (apart.length < enough) return
    const middle = median(apart.splice(0))
    await Promise.all([heard.measure(), seen.measure()])
    if (Math.abs(middle) < unseen) return
    const by = Math.min(step, gain * Math.abs(middle))
    if (middle > 0) delay(heard, seen, by)
    else delay(seen, heard, by)
  }
}

/** Has one be played later than the other by so many milliseconds more: the other sooner, if it is held back, else itself later. */
function delay(one: Buffer, other: Buffer, by: number): void {
  if (other.held > other.floor && other.length < other.held + slack) {
    other.hold(other.held - by)
    return
  }
  other.hold(0)
  one.hold(Math.max(one.held, one.length) + by)
}

function median(of: number[]): number {
  const sorted = of.toSorted((a, b) => a - b)
  return ((sorted[(sorted.length - 1) >> 1] ?? 0) + (sorted[sorted.length >> 1] ?? 0)) / 2
}
