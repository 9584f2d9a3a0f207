/** Watches the numbers of a session's events, which count from 1 without gaps. */
export class Sequence {
  #last = 0

  /** The number of the last event that was accepted. */
  get last(): number {
    return this.#last
  }

  /** Says whether an event is the `next` one, an `old` one that was seen before, or comes after a `gap`. */
  accept(seq: number): 'next' | 'old' | 'gap' {
    if (seq <= this.#last) return 'old'
    if (seq > this.#last + 1) return 'gap'
    this.#last = seq
    return 'next'
  }

  /** A snapshot stands for everything up to its own number. */
  restart(seq: number): void {
    this.#last = seq
  }
}
