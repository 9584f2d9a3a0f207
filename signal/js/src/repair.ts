import { type Buffers, longest, type Pair, type Played } from './buffer.ts'

/** What has become of packets since the connection stands. */
export interface Losses {
  /** How often packets of voices were asked for again. */
  asked: number
  /** How many of them did not come, as of now. */
  missing: number
  /** How many packets of pictures came, and how many of these came again. */
  pictures: number
  repaired: number
  /** The round trip to the server in milliseconds; undefined where it is not known. */
  roundTrip: number | undefined
}

/** The losses of a connection that does not stand. */
export const none: Losses = { asked: 0, missing: 0, pictures: 0, repaired: 0, roundTrip: undefined }

/** How often the losses are looked at, in milliseconds, and how many looks count together. */
const every = 500
const memory = 10
/** How many of these must have seen packets asked for: one alone was merely late, or is not worth it. */
const few = 2
/** The part of what comes that came again, each packet twice, from which on so many requests are lost that there is to be time for a second one. */
const heavy = 0.14
/**
 * What repair takes beyond the round trip, in milliseconds: a loss is seen by the second packet behind it, 20 ms each, and ways are
 * not even.
 */
const margin = 80
/** By how many milliseconds a look holds more or less: sound is stretched by 8 % meanwhile, or squeezed by 2. */
const rise = 40
const fall = 10
/** After how many looks without a reason less is held. */
const calm = 20

/** For how long voices are held back, so that what was asked for again comes in time. It has no clock: what counts is looks. */
export class Patience {
  #before: Losses | undefined
  #looks: { asked: boolean; missing: number; pictures: number; repaired: number; roundTrip: number }[] = []
  #idle = 0
  #held = 0

  /** Takes a look at the losses, and answers in milliseconds. */
  next(now: Losses): number {
    const before = this.#before ?? now
    this.#before = now
    if (now.roundTrip === undefined) return this.#held
    const look = {
      asked: now.asked > before.asked,
      missing: now.missing - before.missing,
      pictures: now.pictures - before.pictures,
      repaired: now.repaired - before.repaired,
      roundTrip: now.roundTrip,
    }
    this.#looks = [...this.#looks, look].slice(-memory)
    const goal = this.#goal()
    this.#idle = goal > 0 ? 0 : this.#idle + 1
    if (goal > this.#held) this.#held = Math.min(goal, this.#held + rise)
    else if (goal > 0 || this.#idle > calm) this.#held = Math.max(goal, this.#held - fall)
    return this.#held
  }

  /** What would be enough now; 0 where nothing is to be won, because little is lost, what is lost stays lost, or the way is too long. */
  #goal(): number {
    const asked = this.#looks.filter(look => look.asked).length
    const sum = (key: 'missing' | 'pictures' | 'repaired') => this.#looks.reduce((all, look) => all + look[key], 0)
    if (asked < few || 2 * sum('missing') > asked) return 0
    const trips = this.#looks.map(look => look.roundTrip).toSorted((a, b) => a - b)
    const trip = trips[trips.length >> 1] ?? 0
    const goals = sum('repaired') > heavy * sum('pictures') ? [2 * trip + margin, trip + margin] : [trip + margin]
    return goals.find(goal => goal <= longest) ?? 0
  }
}

/** What repair works on. */
export interface Repaired {
  losses(): Promise<Losses>
  /** All that is heard. */
  sounds(): readonly Played[]
  /** What is seen with it. */
  pairs(): readonly Pair[]
}

/**
 * Holds voices back where the way to this viewer loses packets and brings them again, for a browser's buffer does not wait a round trip
 * for them. All come over one way, so all are held back alike, with the pictures that go with them.
 */
export class Repair {
  #timer: ReturnType<typeof setInterval> | undefined
  #patience = new Patience()
  #held = new Set<Played>()

  constructor(
    private readonly of: Repaired,
    private readonly buffers: Buffers,
  ) {}

  start(): void {
    this.stop()
    this.#timer = setInterval(() => this.look().catch(() => undefined), every)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Forgets what it knows: there is another connection. */
  reset(): void {
    this.stop()
    this.#patience = new Patience()
    this.#held.clear()
  }

  /** Looks once, and holds more or less. */
  async look(): Promise<void> {
    const floor = this.#patience.next(await this.of.losses())
    const before = this.#held
    this.#held = new Set(floor > 0 ? [...this.of.sounds(), ...this.of.pairs().map(pair => pair.picture)] : [])
    for (const one of before) if (!this.#held.has(one)) this.buffers.of(one).lift(0)
    for (const one of this.#held) this.buffers.of(one).lift(floor)
  }
}
