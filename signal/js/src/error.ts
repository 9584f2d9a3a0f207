/** What went wrong, with a stable `code` to decide by and a `message` that can be shown to people. */
export class ParleyError extends Error {
  override readonly name = 'ParleyError'

  constructor(
    /** Lower snake case; the server's own codes, or `offline`, `timeout`, `busy` and `closed` from this side. */
    readonly code: string,
    message: string,
    /** The HTTP status, for errors of the REST plane. */
    readonly status?: number,
    /** Seconds to wait before trying again, where the server said so. */
    readonly retryAfter?: number,
  ) {
    super(message)
  }

  /** Wraps anything that was thrown. */
  static from(cause: unknown): ParleyError {
    if (cause instanceof ParleyError) return cause
    return new ParleyError('internal', cause instanceof Error ? cause.message : String(cause))
  }
}
