/**
 * The order of the tiles. People keep their places; only when there are more than a page holds, somebody who speaks and
 * is not on the first page takes the place of the one there who has been silent for longest.
 */
export function arrange(
  before: readonly string[],
  present: readonly string[],
  speakers: readonly string[],
  capacity: number,
): string[] {
  const here = new Set(present)
  const order = before.filter(id => here.has(id))
  const known = new Set(order)
  order.push(...present.filter(id => !known.has(id)))
  if (order.length <= capacity) return order
  for (const speaker of speakers.slice(0, capacity)) {
    const from = order.indexOf(speaker)
    if (from < capacity) continue
    const to = quietest(order.slice(0, capacity), speakers)
    order[from] = order[to] as string
    order[to] = speaker
  }
  return order
}

/** The place of the one who spoke last before all others, or never. */
function quietest(page: readonly string[], speakers: readonly string[]): number {
  let place = page.length - 1
  let silence = -1
  for (let i = page.length - 1; i >= 0; i--) {
    const recency = speakers.indexOf(page[i] as string)
    const silent = recency < 0 ? Number.POSITIVE_INFINITY : recency
    if (silent > silence) {
      silence = silent
      place = i
    }
  }
  return place
}

/** Who spoke, latest first, each once: what arrives goes to the front. */
export function remember(recent: readonly string[], speaking: readonly string[], most = 32): string[] {
  return [...new Set([...speaking, ...recent])].slice(0, most)
}
