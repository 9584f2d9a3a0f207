/** A size in CSS pixels. */
export interface Size {
  width: number
  height: number
}

/** How the tiles of a page lie: all of one size, in centred rows. */
export interface Grid extends Size {
  columns: number
  rows: number
}

/** A size as a style: numbers alone are no lengths. */
export function pixels(size: Size | undefined): { width: string; height: string } | undefined {
  return size && { width: `${size.width}px`, height: `${size.height}px` }
}

/** The space between tiles, in CSS pixels. */
export const gap = 10

// A tile may be anything between a square and a widescreen; cameras are cut to it.
const narrowest = 1
const widest = 16 / 9

/** The largest tiles of which `count` fit into the space. */
export function bestGrid(count: number, width: number, height: number): Grid {
  let best: Grid = { columns: 1, rows: 1, width: 0, height: 0 }
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns)
    const tile = fit((width - gap * (columns - 1)) / columns, (height - gap * (rows - 1)) / rows)
    if (tile.width * tile.height > best.width * best.height) best = { columns, rows, ...tile }
  }
  return best
}

/** The largest tile of an allowed shape inside a cell. */
function fit(width: number, height: number): Size {
  const w = Math.max(0, Math.floor(Math.min(width, height * widest)))
  const h = Math.max(0, Math.floor(Math.min(height, width / narrowest)))
  return { width: w, height: h }
}

/** How many tiles a page can have before they get too small, at most `most`. */
export function pageCapacity(width: number, height: number, most: number): number {
  if (width === 0) return most // not measured yet
  const smallest = width < 600 ? 150 : 190
  let capacity = 1
  for (let count = 2; count <= most; count++) {
    if (bestGrid(count, width, height).width >= smallest) capacity = count
  }
  return capacity
}

/** The height that the pager takes from the tiles, in CSS pixels. */
export const pagerHeight = 50

/** How many tiles of the given length a strip of the given length holds. */
export function stripCapacity(length: number, tile: number): number {
  return Math.max(1, Math.floor((length + gap) / (tile + gap)))
}
