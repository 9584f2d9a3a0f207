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

  /** Reads a problem (RFC 9457) from a refusing answer, which may be anything. */
  static async of(response: Response): Promise<ParleyError> {
    const body: unknown = await response.json().catch(() => null)
    const fields = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>
    const code = typeof fields.code === 'string' ? fields.code : `http_${response.status}`
    const text = [fields.detail, fields.title].find(value => typeof value === 'string' && value !== '')
    const wait = Number(response.headers.get('Retry-After'))
    const message = typeof text === 'string' ? text : `The server answered ${response.status}.`
    return new ParleyError(code, message, response.status, wait > 0 ? wait : undefined)
  }
}
