import { vi } from 'vitest'

/** A WebSocket without a network, driven by a test. */
export class FakeWebSocket {
  static readonly OPEN = 1
  static all: FakeWebSocket[] = []
  /** Whether a new socket opens or fails. */
  static reachable: (url: string) => boolean = () => true
  /** Whether a new socket opens by itself. */
  static opens = true
  /** Whether resumes are answered by themselves: the heartbeat of a session whose node is there. */
  static alive = false

  readyState = 0
  bufferedAmount = 0
  readonly sent: Record<string, unknown>[] = []
  onopen: (() => void) | null = null
  onmessage: ((event: { data: unknown }) => void) | null = null
  onclose: ((event: { code: number; reason: string }) => void) | null = null

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {
    FakeWebSocket.all.push(this)
    queueMicrotask(() => {
      if (!FakeWebSocket.reachable(this.url)) this.drop(1006)
      else if (FakeWebSocket.opens) this.open()
    })
  }

  open(): void {
    this.readyState = FakeWebSocket.OPEN
    this.onopen?.()
  }

  /** Replaces the global WebSocket for the tests of a file. */
  static install(): void {
    FakeWebSocket.all = []
    FakeWebSocket.reachable = () => true
    FakeWebSocket.opens = true
    FakeWebSocket.alive = false
    vi.stubGlobal('WebSocket', FakeWebSocket)
  }

  static get latest(): FakeWebSocket {
    const socket = FakeWebSocket.all.at(-1)
    if (!socket) throw new Error('no socket was opened')
    return socket
  }

  send(text: string): void {
    const message = JSON.parse(text)
    if (FakeWebSocket.alive && message.type === 'participant.resume') {
      queueMicrotask(() => this.say({ type: 'ok', reply_to: message.id }))
    } else this.sent.push(message)
  }

  close(code = 1000): void {
    this.drop(code)
  }

  /** The server says something. */
  say(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) })
  }

  /** The server answers the latest request. */
  answer(message: object): void {
    this.say({ reply_to: this.sent.at(-1)?.id, ...message })
  }

  /** The connection ends. */
  drop(code: number): void {
    if (this.readyState === 3) return
    this.readyState = 3
    this.onclose?.({ code, reason: '' })
  }
}
