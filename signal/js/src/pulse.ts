import { Backoff } from './backoff.ts'
import { Emitter } from './emitter.ts'

/** What has come over a path so far. */
export interface Arrivals {
  /** Packets of media, be they heard and seen or not. */
  media: number
  /** Packets of any kind, and checks with their answers; 0 where the browser does not count. */
  all: number
}

/** What a pulse is felt of. */
export interface Pulsing {
  /** When media was last heard or seen, in milliseconds of any clock; 0 is never. Cheap. */
  heardAt(): number
  arrivals(): Promise<Arrivals>
  /** Whether the server says that it sends something. Cheap. */
  expects(): boolean
}

/** What a pulse tells. */
export interface PulseEvents {
  /** No media comes: the path is broken, or the others are silent. */
  doubtful: undefined
  /** What should come over the path does not. Told again, ever more rarely, until something is heard or seen. */
  silent: undefined
}

/** How often the pulse is felt, in milliseconds. */
const every = 200

// In times that it is felt.
/** Without media the path is doubtful. */
const doubtful = 3
/** Without anything at all, from then on, it is silent. */
const silent = 3
/** Not counted while another path is looked for. */
const grace = 6
/** No media for so long is no mere hiccup, and a path that lives has carried a check in that time. */
const long = 15

/**
 * Notices that nothing comes through a connection any more, long before ICE does: a browser checks a path only every few
 * seconds while it believes in it. Media may be silent because everybody else is: then control packets still come, and the
 * server says that it sends nothing. Where it says otherwise, checks alone are no proof that the path is the one it sends over.
 */
export class Pulse extends Emitter<PulseEvents> {
  #timer: ReturnType<typeof setInterval> | undefined
  #heard = 0
  /** How many times in a row nothing was heard. */
  #misses = 0
  /** What had come when that was last looked at, and at which miss. */
  #seen: { misses: number; arrivals: Arrivals } | undefined
  /** The miss at which to look again. */
  #due = long
  #told = false
  /** Another path has been looked for since something was heard: it should have come to something by now. */
  #sought = false
  #busy = false
  readonly #waits: Backoff

  constructor(
    private readonly of: Pulsing,
    private readonly random: () => number = Math.random,
  ) {
    super()
    this.#waits = new Backoff(1_200, 30_000, random)
  }

  /** Feels the pulse until it is stopped. */
  start(): void {
    this.stop()
    this.#timer = setInterval(() => void this.#feel(), every)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#heard = 0
    this.#begin(long)
  }

  /** Gives a path that is looked for anew some time. */
  rest(): void {
    if (this.#told) {
      this.#seen = undefined
      this.#due = this.#misses + grace
    } else {
      this.#begin(this.#heard > 0 ? doubtful : long)
      this.#misses = -grace
    }
    this.#sought = true
  }

  /** Begins to count anew, and looks after so many misses. */
  #begin(due: number): void {
    this.#misses = 0
    this.#seen = undefined
    this.#due = due
    this.#told = false
    this.#sought = false
  }

  async #feel(): Promise<void> {
    const heard = this.of.heardAt()
    if (heard > this.#heard) {
      this.#heard = heard
      this.#waits.reset()
      this.#begin(doubtful)
      return
    }
    this.#misses++
    if (this.#misses === doubtful && this.#heard > 0) this.emit('doubtful', undefined)
    if (this.#busy || this.#misses < this.#due) return
    this.#busy = true
    const due = this.#due
    const arrivals = await this.of.arrivals().finally(() => {
      this.#busy = false
    })
    // Meanwhile something may have been heard, or another path begun to be looked for.
    if (this.#timer !== undefined && this.#due === due && this.#misses >= due) this.#judge(arrivals)
  }

  /** Compares what has come with what had, and says when to look again. */
  #judge(arrivals: Arrivals): void {
    const before = this.#seen
    this.#seen = { misses: this.#misses, arrivals }
    if (!before) {
      this.#due = this.#misses + this.#window()
      return
    }
    const waited = this.#misses - before.misses
    const starving = arrivals.media === before.arrivals.media
    const dead = starving && arrivals.all === before.arrivals.all
    const starved = starving && waited >= (this.#sought ? silent : long)
    const idle = dead && waited >= long && arrivals.all > 0
    if (this.of.expects() ? dead || starved : idle) this.#tell()
    else this.#due = this.#misses + this.#leisure()
  }

  #tell(): void {
    this.#told = true
    this.rest()
    this.emit('silent', undefined)
  }

  /** How many misses to let pass between a first look and the next. */
  #window(): number {
    if (this.#told) return grace + Math.round(this.#waits.next() / every)
    return this.#heard > 0 ? silent : this.#leisure()
  }

  /** Long, and not the same for all who are in a room: they may miss the same one. */
  #leisure(): number {
    return long + Math.round(this.random() * long)
  }
}
