import { Emitter } from './emitter.ts'
import { ParleyError } from './error.ts'
import { type Message, parse, type Requests } from './message.ts'

/** The events of a socket. */
export interface SocketEvents {
  message: Message
  close: { code: number; reason: string }
}

interface Pending {
  resolve(reply: Message): void
  reject(error: ParleyError): void
}

const openTimeout = 10_000
const requestTimeout = 10_000
const maxPending = 64
const maxBuffered = 1 << 20

/** One WebSocket to a node: messages out, messages in, and answers matched to their requests. It never reopens. */
export class Socket extends Emitter<SocketEvents> {
  readonly #ws: WebSocket
  readonly #pending = new Map<string, Pending>()
  #nextId = 1

  private constructor(ws: WebSocket) {
    super()
    this.#ws = ws
    ws.onmessage = event => this.#receive(event.data)
    ws.onclose = event => this.#closed(event.code, event.reason)
  }

  /** Opens a socket with a join or a resume token, within `limit` milliseconds and before `given up` is aborted. */
  static open(url: string, token: string, limit = openTimeout, givenUp?: AbortSignal): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const ws = new WebSocket(url, ['parley.v1', `bearer.${token}`])
      const settled = (): void => {
        clearTimeout(timer)
        givenUp?.removeEventListener('abort', giveUp)
      }
      // A network that is gone is told of by no event, so nothing waits for the close of what is given up.
      const giveUp = (): void => {
        ws.onopen = null
        ws.onclose = null
        ws.close()
        fail('The signalling server did not answer in time.')
      }
      const fail = (reason: string): void => {
        settled()
        reject(new ParleyError('offline', reason))
      }
      const timer = setTimeout(giveUp, limit)
      givenUp?.addEventListener('abort', giveUp)
      ws.onopen = () => {
        settled()
        resolve(new Socket(ws))
      }
      ws.onclose = event => fail(event.reason || 'The signalling server did not take the connection.')
    })
  }

  /** Sends a message that wants no answer. What a stalled connection cannot take any more is refused. */
  send<Type extends keyof Requests>(type: Type, body: Requests[Type], id?: string): void {
    if (this.#ws.readyState !== WebSocket.OPEN) throw new ParleyError('closed', 'The connection is closed.')
    if (this.#ws.bufferedAmount > maxBuffered) throw new ParleyError('busy', 'The connection is stalled.')
    this.#ws.send(JSON.stringify({ type, ...(id === undefined ? {} : { id }), ...body }))
  }

  /** Sends a message and waits for its answer; `wait` in milliseconds, 0 for as long as the socket is open. */
  request<Type extends keyof Requests>(type: Type, body: Requests[Type], wait = requestTimeout): Promise<Message> {
    if (this.#pending.size >= maxPending) return Promise.reject(new ParleyError('busy', 'Too many open requests.'))
    const id = String(this.#nextId++)
    return new Promise<Message>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      if (wait > 0) setTimeout(() => this.#fail(id, 'timeout', 'The server did not answer in time.'), wait)
      try {
        this.send(type, body, id)
      } catch (error) {
        this.#pending.delete(id)
        reject(error)
      }
    })
  }

  /** Closes the socket; `code` 1000 leaves the meeting, codes from 4000 do not. */
  close(code = 1000): void {
    this.#ws.close(code)
  }

  /** Gives up a socket that seems dead: its requests fail now, and nobody hears of it again. The session lives on. */
  abandon(): void {
    this.#ws.onmessage = null
    this.#ws.onclose = null
    this.#ws.close(4000)
    this.#failAll()
  }

  #receive(data: unknown): void {
    const message = typeof data === 'string' ? parse(data) : undefined
    if (!message) return
    const pending = message.reply_to === undefined ? undefined : this.#pending.get(message.reply_to)
    if (!pending) {
      this.emit('message', message)
      return
    }
    this.#pending.delete(message.reply_to as string)
    if (message.type === 'error') {
      pending.reject(new ParleyError(message.code, message.message))
      return
    }
    if (message.seq !== undefined) this.emit('message', message)
    pending.resolve(message)
  }

  #closed(code: number, reason: string): void {
    this.#failAll()
    this.emit('close', { code, reason })
  }

  #failAll(): void {
    for (const id of [...this.#pending.keys()]) this.#fail(id, 'closed', 'The connection was lost.')
  }

  #fail(id: string, code: string, message: string): void {
    this.#pending.get(id)?.reject(new ParleyError(code, message))
    this.#pending.delete(id)
  }
}
