import { Emitter } from './emitter.ts'

/** The events of a network. */
export interface NetworkEvents {
  /** The machine may have another address from now on, or one again. */
  changed: undefined
}

/** Where a browser says of which kind the network is: `navigator.connection`, which not all have. */
interface Kind extends EventTarget {
  readonly type?: string
}

/** What the browser tells of the machine's network. These are hints, which come late or not at all: nothing waits for them alone. */
export class Network extends Emitter<NetworkEvents> {
  readonly #stop = new AbortController()

  constructor() {
    super()
    const { signal } = this.#stop
    globalThis.addEventListener?.('online', () => this.emit('changed', undefined), { signal })
    const kind = (globalThis.navigator as { connection?: Kind } | undefined)?.connection
    let type = kind?.type
    const look = (): void => {
      if (kind?.type === type) return // only its speed
      type = kind?.type
      if (this.online && type !== 'none') this.emit('changed', undefined)
    }
    kind?.addEventListener?.('change', look, { signal })
  }

  /** Whether there may be a network: false is certain, true is not. */
  get online(): boolean {
    return globalThis.navigator?.onLine !== false
  }

  /** Stops listening. */
  close(): void {
    this.#stop.abort()
  }
}
