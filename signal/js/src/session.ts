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
  /** Whether there may be a network at all; without one no attempt is wasted. */
  online?: () => boolean
  /** What to wait for before coming back, where there is something: the session may go on elsewhere. */
  hold?: () => Promise<void> | undefined
}

const fillTimeout = 3_000
/** How long a socket may take to open, in milliseconds. */
const openTime = 10_000
/** The same for the first attempts to come back; later ones have longer. */
const returnTime = 2_000
/** How long the answer to a resume may take. */
const resumeTime = 5_000
/** How long one is waited for on a network that may be dead. */
const probeTime = 800
/** A quiet socket is asked this often whether it is still there, and has this long to answer. */
const beatEvery = 10_000
const beatTime = 5_000
/** How long one believes that there is no network. */
const awayLimit = 5_000

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
  #reached = ''
  /** The node to come back to first: the one that was reached, which has the media, unless it goes away. */
  #home = ''
  #beating: ReturnType<typeof setInterval> | undefined
  /** Aborted, and replaced, when the network changes. */
  #change = new AbortController()
  readonly #online: () => boolean
  #resumeToken = ''
  #socket: Socket | undefined
  /** The socket stands, but the server has not said yet what it still knows: an offer may be one too many. */
  #returning = false
  #filling: ReturnType<typeof setTimeout> | undefined

  constructor(private readonly options: SessionOptions) {
    super()
    this.#urls = options.urls
    this.#token = options.token
    this.#patience = options.patience ?? 120_000
    this.#backoff = options.backoff ?? new Backoff()
    this.#online = options.online ?? (() => true)
  }

  /** Opens the first socket, to the first node that takes it. */
  async open(): Promise<void> {
    for (let n = 0; ; n++) {
      try {
        this.#adopt(await this.#dial(this.#urls[n] ?? '', this.#token, openTime))
        return
      } catch (error) {
        if (n + 1 >= this.#urls.length) throw error
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
  }

  /** The node for the nth try to come back: every second one is for where the media are, the others take turns. */
  #candidate(n: number): string {
    const others = this.#urls.filter(url => url !== this.#home)
    return (n % 2 === 1 && others[((n - 1) / 2) % others.length]) || this.#home
  }

  async #dial(url: string, token: string, limit: number): Promise<Socket> {
    const socket = await Socket.open(url, token, limit, this.#change.signal)
    this.#reached = url
    this.#home = url
    return socket
  }

  /** Whether a socket is open. */
  get connected(): boolean {
    return this.#socket !== undefined
  }

  /** Sends a request and waits for its answer; `wait` as for a socket. */
  request<Type extends keyof Requests>(type: Type, body: Requests[Type], wait?: number): Promise<Message> {
    if (!this.#socket || (this.#returning && type !== 'participant.hello'))
      return Promise.reject(new ParleyError('closed', 'The connection is being restored.'))
    return this.#socket.request(type, body, wait)
  }

  /** The network has changed: takes the socket for dead, and opens another one at once. */
  renew(): void {
    this.#change.abort()
    this.#change = new AbortController()
    if (this.#socket) this.#abandon(this.#socket)
  }

  /** Asks whether the socket still leads anywhere, and takes it for dead when nothing comes back within `limit` milliseconds. */
  async probe(limit = probeTime): Promise<boolean> {
    const socket = this.#socket
    if (!socket || this.#resumeToken === '') return socket !== undefined
    try {
      await socket.request('participant.resume', { last_seq: this.#sequence.last }, limit)
    } catch (error) {
      const { code } = ParleyError.from(error)
      if (code === 'timeout' && this.#socket === socket) this.#abandon(socket)
      return code !== 'timeout' && code !== 'closed'
    }
    return true
  }

  #abandon(socket: Socket): void {
    socket.abandon()
    this.#lost(socket, 1006)
  }

  /** Leaves for good. */
  close(): void {
    this.#end.abort()
    this.#change.abort()
    clearTimeout(this.#filling)
    clearInterval(this.#beating)
    this.#socket?.close()
    this.#socket = undefined
  }

  #adopt(socket: Socket): void {
    this.#socket = socket
    clearInterval(this.#beating)
    this.#beating = setInterval(() => void this.probe(beatTime), beatEvery)
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
    this.#socket?.request('participant.resume', { last_seq: this.#sequence.last }).catch(() => undefined)
  }

  #filled(): void {
    clearTimeout(this.#filling)
    this.#filling = undefined
  }

  #lost(socket: Socket, code: number): void {
    if (this.#socket !== socket || this.#end.signal.aborted) return
    this.#socket = undefined
    clearInterval(this.#beating)
    this.#filled()
    if (!resumable(code)) {
      this.#finish(code)
      return
    }
    if (goingAway(code)) this.#home = this.others[0] ?? this.#home
    this.emit('lost', undefined)
    void this.#restore()
  }

  /** Tries to come back: at once, then with growing waits, and at once again whenever the network has changed. */
  async #restore(): Promise<void> {
    const deadline = Date.now() + this.#patience
    await this.options.hold?.()
    let change = this.#change
    for (let n = 0; !this.#end.signal.aborted; n++) {
      if (Date.now() > deadline) {
        this.#finish(0)
        return
      }
      if (!this.#online()) await pause(awayLimit, this.#change.signal)
      if (change !== this.#change) {
        change = this.#change
        this.#backoff.reset()
        n = 0
      }
      if (this.#end.signal.aborted || (await this.#attempt(n))) return
      if (change === this.#change) await pause(this.#backoff.next(), change.signal)
    }
  }

  /** The nth attempt to come back; without a resume token the session starts anew, as from the lobby. */
  async #attempt(n: number): Promise<boolean> {
    const known = this.#resumeToken !== ''
    try {
      const limit = Math.min(openTime, returnTime * 2 ** (n >> 1))
      const socket = await this.#dial(this.#candidate(n), this.#resumeToken || this.#token, limit)
      if (this.#end.signal.aborted) {
        socket.close()
        return true
      }
      this.#adopt(socket)
      this.#returning = known
      if (known) await socket.request('participant.resume', { last_seq: this.#sequence.last }, resumeTime)
    } catch (error) {
      return this.#refused(ParleyError.from(error))
    } finally {
      this.#returning = false
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
    if (error.code !== 'closed' && this.#socket) this.#abandon(this.#socket)
    return true
  }

  #finish(code: number): void {
    this.#end.abort()
    this.emit('closed', { code })
  }
}

/** Waits, but no longer than until the network changes or the session ends. */
function pause(milliseconds: number, changed: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      clearTimeout(timer)
      changed.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, milliseconds)
    changed.addEventListener('abort', done)
  })
}
