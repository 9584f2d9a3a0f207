import { ParleyError } from './error.ts'

/** Runs tasks one after the other, at most `limit` of them waiting. */
export class Serial {
  #tail: Promise<unknown> = Promise.resolve()
  #waiting = 0

  constructor(readonly limit = 64) {}

  /** Runs `task` after those before it, whether they failed or not. */
  run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#waiting >= this.limit) return Promise.reject(new ParleyError('busy', 'Too much is going on at once.'))
    this.#waiting++
    const result = this.#tail.then(task).finally(() => this.#waiting--)
    this.#tail = result.catch(() => undefined)
    return result
  }
}
