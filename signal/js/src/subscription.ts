import type { Slot } from './roster.ts'
import type { SlotRequest } from './wire.ts'

/** A picture that is shown, with the size it is shown at. */
export interface View {
  trackId: string
  /** In device pixels. */
  width: number
  height: number
  /** Higher is served first when bandwidth is short. */
  priority?: number
}

/** Which track goes into which slot, and how many more slots it would take to show everything. */
export interface Assignment {
  requests: SlotRequest[]
  missing: number
}

// Sizes are rounded up so that a window being dragged does not ask for a new one at every pixel.
const step = 16

/**
 * Puts the wanted tracks into slots. A track that a slot carries already stays there, since moving it would cost a
 * keyframe and a blink; the others take free slots in the order of their priority.
 */
export function assign(
  mids: readonly string[],
  carried: ReadonlyMap<string, string>,
  views: readonly View[],
): Assignment {
  const wanted = new Map(views.map(view => [view.trackId, view]))
  const placed = new Map<string, View>()
  for (const mid of mids) {
    const view = wanted.get(carried.get(mid) ?? '')
    if (!view) continue
    placed.set(mid, view)
    wanted.delete(view.trackId)
  }
  const free = mids.filter(mid => !placed.has(mid))
  const rest = [...wanted.values()].sort((a, b) => (b.priority ?? 0) - (a.priority ?? 0))
  for (const view of rest) {
    const mid = free.shift()
    if (mid !== undefined) placed.set(mid, view)
  }
  const requests = mids.flatMap(mid => {
    const view = placed.get(mid)
    return view ? [request(mid, view)] : []
  })
  return { requests, missing: Math.max(0, views.length - requests.length) }
}

/** What each slot carries: what was asked for last where that is known, else what the server says. */
export function carriedBy(slots: readonly Slot[], asked: readonly SlotRequest[]): Map<string, string> {
  const carried = new Map<string, string>()
  for (const slot of slots) if (slot.track_id) carried.set(slot.mid, slot.track_id)
  for (const one of asked) {
    if (!one.track_id) continue
    for (const [mid, track] of carried) if (track === one.track_id) carried.delete(mid)
    carried.set(one.mid, one.track_id)
  }
  return carried
}

/**
 * Whether the server says that it sends something. Of whose open microphone it hears nothing, nothing is expected: it is their
 * path that is broken.
 */
export function expectsMedia(slots: readonly Slot[]): boolean {
  const gone = new Set(slots.flatMap(slot => (slot.reason === 'no_packets' && slot.participant_id) || []))
  return slots.some(slot => slot.state === 'active' && !gone.has(slot.participant_id ?? ''))
}

function request(mid: string, view: View): SlotRequest {
  return {
    mid,
    track_id: view.trackId,
    max_width: Math.ceil(Math.max(1, view.width) / step) * step,
    max_height: Math.ceil(Math.max(1, view.height) / step) * step,
    priority: view.priority ?? 0,
  }
}

/** Whether two requests bind the same tracks to the same slots, whatever their sizes. */
export function sameBindings(a: readonly SlotRequest[], b: readonly SlotRequest[]): boolean {
  return a.length === b.length && a.every((one, i) => one.mid === b[i]?.mid && one.track_id === b[i]?.track_id)
}

/**
 * Sends subscriptions: at once when another picture is shown, and a moment later when only sizes changed, so that a
 * window being dragged or an animation costs one message.
 */
export class Subscriber {
  #timer: ReturnType<typeof setTimeout> | undefined
  #sent: SlotRequest[] = []
  #next: SlotRequest[] = []

  constructor(
    private readonly send: (requests: SlotRequest[]) => void,
    readonly settle = 150,
  ) {}

  /** What was asked for last. */
  get asked(): readonly SlotRequest[] {
    return this.#next
  }

  update(requests: SlotRequest[]): void {
    this.#next = requests
    clearTimeout(this.#timer)
    if (!sameBindings(requests, this.#sent)) this.flush()
    else this.#timer = setTimeout(() => this.flush(), this.settle)
  }

  /** Sends what is outstanding. */
  flush(): void {
    clearTimeout(this.#timer)
    if (JSON.stringify(this.#next) === JSON.stringify(this.#sent)) return
    this.#sent = this.#next
    this.send(this.#next)
  }

  /** Forgets what was sent: the other side has lost it. */
  reset(): void {
    clearTimeout(this.#timer)
    this.#sent = []
  }
}
