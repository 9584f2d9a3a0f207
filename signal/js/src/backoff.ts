/**
 * Waiting times between attempts: exponential with full jitter, so that a room full of clients that lost the same
 * server does not come back all at once.
 */
export class Backoff {
  #attempt = 0

  constructor(
    /** The bound of the first wait, in milliseconds. */
    readonly base = 400,
    /** The bound that no wait exceeds, in milliseconds. */
    readonly cap = 10_000,
    private readonly random: () => number = Math.random,
  ) {}

  /** How many waits were handed out since the last reset. */
  get attempts(): number {
    return this.#attempt
  }

  /** The next wait in milliseconds: uniform between 0 and min(cap, base · 2ⁿ). */
  next(): number {
    const bound = Math.min(this.cap, this.base * 2 ** Math.min(this.#attempt, 30))
    this.#attempt++
    return Math.round(this.random() * bound)
  }

  /** Starts over after a success. */
  reset(): void {
    this.#attempt = 0
  }
}
