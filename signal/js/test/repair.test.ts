import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Buffers, type Pair, type Played } from '../src/buffer.ts'
import { type Losses, Patience, Repair } from '../src/repair.ts'

/** A way with what it loses; each look sees half a second more of it. */
class Way {
  #asked = 0
  #missing = 0
  #pictures = 0
  #repaired = 0
  /** The part of the pictures' packets that comes again. */
  heavy = 0
  constructor(
    public roundTrip: number | undefined,
    readonly patience = new Patience(),
  ) {}

  /** So many looks, in each of which packets were asked for, and so many that did not come; answers what was held after each. */
  looks(count: number, { asked = 0, missing = 0 } = {}): number[] {
    return Array.from({ length: count }, () => this.patience.next(this.losses(asked, missing)))
  }
  losses(asked: number, missing: number): Losses {
    this.#asked += asked
    this.#missing += missing
    this.#pictures += 100
    this.#repaired += 100 * this.heavy
    return {
      asked: this.#asked,
      missing: this.#missing,
      pictures: this.#pictures,
      repaired: this.#repaired,
      roundTrip: this.roundTrip,
    }
  }
}

test('on a way that loses nothing, nothing is held', () => {
  expect(Math.max(...new Way(160).looks(1000))).toBe(0)
})

test('packets that come late now and then are no reason', () => {
  const way = new Way(160)
  const held = Array.from({ length: 50 }, () => [...way.looks(1, { asked: 3 }), ...way.looks(12)]).flat()
  expect(Math.max(...held)).toBe(0)
})

test('what comes again has a round trip and a little more, step by step', () => {
  const held = new Way(160).looks(20, { asked: 8 })
  expect(held.at(-1)).toBe(240)
  expect(Math.max(...held.map((one, i) => one - (held[i - 1] ?? 0)))).toBeLessThanOrEqual(40)
  expect(held.indexOf(240)).toBeLessThan(10)
})

test('where very much is lost there is time to ask twice, as far as one may wait', () => {
  for (const [roundTrip, held] of [
    [100, 280],
    [160, 400],
    [200, 280],
  ] as const) {
    const way = new Way(roundTrip)
    way.heavy = 0.2
    expect(way.looks(30, { asked: 8 }).at(-1)).toBe(held)
    way.heavy = 0.1
    expect(way.looks(60, { asked: 8 }).at(-1)).toBe(roundTrip + 80)
  }
})

test('one loss in two seconds is enough', () => {
  const way = new Way(40)
  way.looks(1)
  for (let i = 0; i < 10; i++) way.looks(4).concat(way.looks(1, { asked: 2 }))
  expect(way.looks(1)).toEqual([120])
})

test('who asks in vain does not wait', () => {
  expect(Math.max(...new Way(160).looks(100, { asked: 8, missing: 1 }))).toBe(0)
})

test('what is on its way again when it is counted was not in vain', () => {
  const way = new Way(160)
  for (let i = 0; i < 20; i++) way.looks(1, { asked: 8, missing: i % 2 === 0 ? 2 : -2 })
  expect(way.looks(1, { asked: 8 })).toEqual([240])
})

test('where a round trip is longer than may be held, nothing is', () => {
  expect(Math.max(...new Way(330).looks(50, { asked: 8 }))).toBe(0)
  expect(Math.max(...new Way(320).looks(50, { asked: 8 }))).toBe(400)
  expect(Math.max(...new Way(undefined).looks(50, { asked: 8 }))).toBe(0)
})

test('a round trip that grows and shrinks is followed', () => {
  const way = new Way(40)
  expect(way.looks(20, { asked: 8 }).at(-1)).toBe(120)
  way.roundTrip = 200
  expect(way.looks(20, { asked: 8 }).at(-1)).toBe(280)
  way.roundTrip = 40
  const held = way.looks(60, { asked: 8 })
  expect(held.at(-1)).toBe(120)
  expect(Math.min(...held.map((one, i) => one - (held[i - 1] ?? 280)))).toBeGreaterThanOrEqual(-10)
})

test('once nothing is lost any more it is let go of, late and slowly', () => {
  const way = new Way(160)
  way.looks(20, { asked: 8 })
  expect(way.looks(25).at(-1)).toBe(240)
  const held = way.looks(60)
  expect(held.at(-1)).toBe(0)
  expect(held.indexOf(0)).toBeGreaterThan(24)
})

const player = (): Played => ({
  jitterBufferTarget: null,
  getSynchronizationSources: () => [],
  getStats: async () => new Map() as unknown as RTCStatsReport,
})

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

test('all voices are held, and the pictures that go with them', async () => {
  const [voice, other, face, next] = [player(), player(), player(), player()]
  let pairs: Pair[] = [{ sound: voice, picture: face }]
  const way = new Way(100)
  let asked = 5
  const repair = new Repair(
    { losses: async () => way.losses(asked, 0), sounds: () => [voice, other], pairs: () => pairs },
    new Buffers(),
  )
  const targets = (): unknown[] => [voice, other, face, next].map(one => one.jitterBufferTarget)
  repair.start()
  await vi.advanceTimersByTimeAsync(10_000)
  expect(targets()).toEqual([180, 180, 180, null])
  pairs = [{ sound: voice, picture: next }]
  await vi.advanceTimersByTimeAsync(500)
  expect(targets()).toEqual([180, 180, null, 180])
  asked = 0
  await vi.advanceTimersByTimeAsync(60_000)
  expect(targets()).toEqual([null, null, null, null])
  repair.stop()
})
