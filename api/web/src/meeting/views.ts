import type { View } from '@parley-sfu/client'

/**
 * What the tiles on the page show, gathered: each tile says which track it shows at which size, and all of it goes to
 * the server as one wish.
 */
export class Views {
  readonly #views = new Map<object, View>()
  #pending = false

  constructor(
    private readonly show: (views: readonly View[]) => void,
    private readonly pixelRatio: () => number = () => Math.min(devicePixelRatio, 2),
  ) {}

  /** A tile shows the track at a size in CSS pixels. */
  set(tile: object, trackId: string, width: number, height: number, priority: number): void {
    const scale = this.pixelRatio()
    this.#views.set(tile, { trackId, width: Math.round(width * scale), height: Math.round(height * scale), priority })
    this.#later()
  }

  /** A tile shows nothing any more. */
  delete(tile: object): void {
    if (this.#views.delete(tile)) this.#later()
  }

  #later(): void {
    if (this.#pending) return
    this.#pending = true
    queueMicrotask(() => {
      this.#pending = false
      this.show(largest(this.#views.values()))
    })
  }
}

/** A track that two tiles show is asked for once, at the larger size. */
function largest(views: Iterable<View>): View[] {
  const byTrack = new Map<string, View>()
  for (const view of views) {
    const other = byTrack.get(view.trackId)
    if (!other || other.width * other.height < view.width * view.height) byTrack.set(view.trackId, view)
  }
  return [...byTrack.values()]
}
