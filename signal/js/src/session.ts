import { Backoff } from './backoff.ts'
import { Emitter } from './emitter.ts'
import { ParleyError } from './error.ts'
import { goingAway, type Message, type Requests, resumable } from './message.ts'
import { Sequence } from './sequence.ts'
import { Socket } from './socket.ts'

/** The events of a session. */
export interface SessionEvents {
  /** Messages in their order, each once, whatever sockets they came through. */
  message: Message
  /** The socket is gone and a new one is being opened. */
  lost: undefined
  /** A new socket stands; `known` tells whether the server still has what was said before. */
  restored: { known: boolean }
  /** The end: `code` is the close code, or 0 when the server could not be reached again. */
  closed: { code: number }
}

/** Where and as whom a session connects. */
export interface SessionOptions {
  /** The candidate nodes, best first: when one cannot be reached the next is tried. */
  urls: readonly string[]
  token: string
  /** For how long to try to come back, in milliseconds. */
  patience?: number
  backoff?: Backoff
}

const fillTimeout = 3_000

/**
 * One signalling session over as many sockets as it takes: it resumes after a loss, notices gaps and has them filled,
 * and hands on every event once and in order.
 */
export class Session extends Emitter<SessionEvents> {
  #urls: readonly string[]
  readonly #patience: number
  readonly #backoff: Backoff
  readonly #sequence = new Sequence()
  readonly #end = new AbortController()
  #token: string
  #tried = 0
  #reached = ''
  #resumeToken = ''
  #socket: Socket | undefined
  #filling: ReturnType<typeof setTimeout> | undefined

  constructor(options: SessionOptions) {
    super()
    this.#urls = options.urls
    this.#token = options.token
    this.#patience = options.patience ?? 120_000
    this.#backoff = options.backoff ?? new Backoff()
  }

  /** Opens the first socket, to the first node that takes it. */
  async open(): Promise<void> {
    for (;;) {
      try {
        this.#adopt(await this.#dial(this.#token))
        return
      } catch (error) {
        if (this.#tried >= this.#urls.length) throw error
      }
    }
  }

  /** The candidates beside the one that was reached last. */
  get others(): readonly string[] {
    return this.#urls.filter(url => url !== this.#reached)
  }

  /** Adds candidates, for when the one that is used cannot be reached any more. */
  also(urls: readonly string[]): void {
    this.#urls = [...new Set([this.#reached, ...this.#urls, ...urls])]
    this.#tried = 0
  }

  /** Opens a socket to the node that was reached last; after a failure the next call tries the next one. */
  async #dial(token: string): Promise<Socket> {
    try {
      const url = this.#urls[this.#tried % this.#urls.length] ?? ''
      const socket = await Socket.open(url, token)
      this.#reached = url
      return socket
    } catch (error) {
      this.#tried++
      throw error
    }
  }

  /** Whether a socket is open. */
  get connected(): boolean {
    return this.#socket !== undefined
  }

  /** Sends a request and waits for its answer; `wait` as for a socket. */
  request<Type extends keyof Requests>(type: Type, body: Requests[Type], wait?: number): Promise<Message> {
    if (!this.#socket) return Promise.reject(new ParleyError('closed', 'The connection is being restored.'))
    return this.#socket.request(type, body, wait)
  }

  /** Leaves for good. */
  close(): void {
    this.#end.abort()
    clearTimeout(this.#filling)
    this.#socket?.close()
    this.#socket = undefined
  }

  #adopt(socket: Socket): void {
    this.#socket = socket
    socket.on('message', message => this.#receive(message))
    socket.on('close', ({ code }) => this.#lost(socket, code))
  }

  #receive(message: Message): void {
    if (message.type === 'room.snapshot') {
      this.#resumeToken = message.resume_token || this.#resumeToken
      this.#sequence.restart(message.seq ?? 0)
      this.#filled()
    } else if (message.seq !== undefined) {
      const order = this.#sequence.accept(message.seq)
      if (order === 'gap') this.#fill()
      if (order !== 'next') return
      this.#filled()
    }
    this.emit('message', message)
  }

  /** Asks for what is missing, once at a time. */
  #fill(): void {
    if (this.#filling !== undefined) return
    this.#filling = setTimeout(() => this.#filled(), fillTimeout)
    this.request('participant.resume', { last_seq: this.#sequence.last }).catch(() => undefined)
  }

  #filled(): void {
    clearTimeout(this.#filling)
    this.#filling = undefined
  }

  #lost(socket: Socket, code: number): void {
    if (this.#socket !== socket || this.#end.signal.aborted) return
    this.#socket = undefined
    this.#filled()
    if (!resumable(code)) {
      this.#finish(code)
      return
    }
    if (goingAway(code)) this.#tried++
    this.emit('lost', undefined)
    void this.#restore()
  }

  async #restore(): Promise<void> {
    const deadline = Date.now() + this.#patience
    while (!this.#end.signal.aborted) {
      await pause(this.#backoff.next(), this.#end.signal)
      if (this.#end.signal.aborted) return
      if (Date.now() > deadline) {
        this.#finish(0)
        return
      }
      if (await this.#attempt()) return
    }
  }

  /** One attempt to come back; without a resume token the session starts anew, as from the lobby. */
  async #attempt(): Promise<boolean> {
    const known = this.#resumeToken !== ''
    try {
      const socket = await this.#dial(this.#resumeToken || this.#token)
      if (this.#end.signal.aborted) {
        socket.close()
        return true
      }
      this.#adopt(socket)
      if (known) await socket.request('participant.resume', { last_seq: this.#sequence.last })
    } catch (error) {
      return this.#refused(ParleyError.from(error))
    }
    this.#backoff.reset()
    this.emit('restored', { known })
    return true
  }

  /** Whether a failed attempt was the last one: it was if a new socket's own loss already started the next. */
  #refused(error: ParleyError): boolean {
    if (error.code === 'session_unknown' && this.#socket) {
      this.#backoff.reset()
      this.emit('restored', { known: false })
      return true
    }
    if (error.code === 'offline') return false
    if (error.code !== 'closed') this.#socket?.close(4000)
    return true
  }

  #finish(code: number): void {
    this.#end.abort()
    this.emit('closed', { code })
  }
}

/** Waits, but no longer than until the machine is back online or the session ends. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      globalThis.removeEventListener?.('online', done)
      resolve()
    }
    const timer = setTimeout(done, milliseconds)
    signal.addEventListener('abort', done)
    globalThis.addEventListener?.('online', done)
  })
}
