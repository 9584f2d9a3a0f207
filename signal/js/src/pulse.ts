import { Emitter } from './emitter.ts'

/** What a pulse is felt of. */
export interface Pulsing {
  /** When a packet of media was last heard or seen, in milliseconds of any clock; 0 is never. Cheap. */
  heardAt(): number
  /** How many packets and answered checks have come over the path. */
  arrivals(): Promise<number>
}

/** What a pulse tells. */
export interface PulseEvents {
  /** No media comes: the path is broken, or the others are silent. */
  doubtful: undefined
  /** Nothing at all comes over the path any more. */
  silent: undefined
}

/** How often the pulse is felt, in milliseconds. */
const every = 200
/** How many times without media make the path doubtful. */
const doubtful = 3
/** How many times without anything at all, from then on, make it silent. */
const silent = 3
/** How many times are not counted while another path is looked for. */
const grace = 6

/**
 * Notices that nothing comes through a connection any more, long before ICE does: a browser checks a path only every few
 * seconds while it believes in it. Media may be silent because everybody else is; then control packets still come.
 */
export class Pulse extends Emitter<PulseEvents> {
  #timer: ReturnType<typeof setInterval> | undefined
  #heard = 0
  #misses = 0
  #arrivals = -1
  #busy = false

  constructor(private readonly of: Pulsing) {
    super()
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
    this.#misses = 0
  }

  /** Gives a path that is looked for anew some time. */
  rest(): void {
    this.#misses = -grace
  }

  async #feel(): Promise<void> {
    const heard = this.of.heardAt()
    if (heard > this.#heard) {
      this.#heard = heard
      this.#misses = 0
      return
    }
    if (this.#heard === 0 || this.#busy) return
    this.#misses++
    if (this.#misses === doubtful) this.emit('doubtful', undefined)
    if (this.#misses < doubtful || this.#misses > doubtful + silent) return
    this.#busy = true
    const arrivals = await this.of.arrivals().finally(() => {
      this.#busy = false
    })
    if (this.#timer === undefined || this.#misses < doubtful) return
    if (this.#misses === doubtful) this.#arrivals = arrivals
    else if (arrivals !== this.#arrivals)
      this.#misses = doubtful + silent // the others are silent
    else if (this.#misses === doubtful + silent) this.emit('silent', undefined)
  }
}
