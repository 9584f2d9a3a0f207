import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Buffers, type Pair, type Played } from '../src/buffer.ts'
import { Lips } from '../src/lips.ts'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

/** A receiver that keeps what it plays for as long as it must, or is told to, and takes its time to change that. */
class Model {
  jitterBufferTarget: number | null = null
  kept: number
  #played = { timestamp: 0, captureTimestamp: 0 }
  #delay = 0
  #count = 0
  constructor(
    public natural: number,
    readonly after: number,
    readonly noise: () => number,
    readonly dated = true,
  ) {
    this.kept = natural
  }
  /** Plays for 10 ms, and gets at most 2 ms nearer to where it should be. */
  play(now: number): void {
    const goal = Math.max(this.natural, (this.jitterBufferTarget ?? 0) - this.after)
    this.kept += Math.min(2, Math.max(-2, goal - this.kept))
    const late = this.kept + this.after + this.noise()
    this.#delay += this.kept / 1000
    this.#count++
    this.#played = { timestamp: now, captureTimestamp: now - late + 2_208_988_800_000 }
  }
  get late(): number {
    return this.kept + this.after
  }
  getSynchronizationSources = () => [
    (this.dated ? this.#played : { timestamp: this.#played.timestamp }) as RTCRtpSynchronizationSource,
  ]
  getStats = async () =>
    new Map([
      ['in', { type: 'inbound-rtp', jitterBufferDelay: this.#delay, jitterBufferEmittedCount: this.#count }],
    ]) as unknown as RTCStatsReport
}

let random = 1
/** Up to so many milliseconds of noise, the same in each run. */
const noise = (most: number) => (): number => {
  random = (random * 48_271) % 2_147_483_647
  return (random / 2_147_483_647 - 0.5) * 2 * most
}

/** Lets time pass, and tells by how much pictures were later than sounds, each 10 ms. */
async function watch(
  seconds: number,
  all: readonly Model[],
  pair: { sound: Model; picture: Model },
): Promise<number[]> {
  const apart: number[] = []
  for (let i = 0; i < seconds * 100; i++) {
    for (const one of all) one.play(Date.now())
    apart.push(pair.picture.late - pair.sound.late)
    await vi.advanceTimersByTimeAsync(10)
  }
  return apart
}

const paired = (sound: Model, picture: Model): Pair => ({ sound: sound as Played, picture: picture as Played })
const most = (apart: readonly number[]): number => Math.max(...apart.map(Math.abs))

test.each([
  { name: 'a sound that is later', sound: 120, picture: 5 },
  { name: 'a picture that is later', sound: 45, picture: 200 },
  { name: 'both alike', sound: 60, picture: 60 },
])('$name is in step within six seconds, and stays so', async ({ sound, picture }) => {
  const pair = { sound: new Model(sound, 0, noise(5)), picture: new Model(picture, 20, noise(15)) }
  const lips = new Lips(() => [paired(pair.sound, pair.picture)])
  lips.start()
  await watch(6, [pair.sound, pair.picture], pair)
  expect(most(await watch(20, [pair.sound, pair.picture], pair))).toBeLessThan(20)
  lips.stop()
})

test('when the later of the two changes nothing is held back in vain', async () => {
  const pair = { sound: new Model(120, 0, noise(5)), picture: new Model(5, 20, noise(15)) }
  const lips = new Lips(() => [paired(pair.sound, pair.picture)])
  lips.start()
  await watch(8, [pair.sound, pair.picture], pair)
  pair.sound.natural = 50
  pair.picture.natural = 200
  await watch(8, [pair.sound, pair.picture], pair)
  expect(most(await watch(10, [pair.sound, pair.picture], pair))).toBeLessThan(20)
  expect(Math.max(pair.sound.late, pair.picture.late)).toBeLessThan(245)
  lips.stop()
})

test('what plays alone, or something else, is let go of', async () => {
  const [sound, first, second] = [new Model(120, 0, noise(5)), new Model(5, 20, noise(5)), new Model(5, 20, noise(5))]
  let pairs = [paired(sound, first)]
  const lips = new Lips(() => pairs)
  lips.start()
  const all = [sound, first, second]
  await watch(6, all, { sound, picture: first })
  expect(first.jitterBufferTarget).toBeGreaterThan(80)
  pairs = [paired(sound, second)]
  await watch(6, all, { sound, picture: second })
  expect(first.jitterBufferTarget).toBeNull()
  expect(second.jitterBufferTarget).toBeGreaterThan(80)
  pairs = []
  await watch(1, all, { sound, picture: second })
  expect([sound.jitterBufferTarget, first.jitterBufferTarget, second.jitterBufferTarget]).toEqual([null, null, null])
  lips.stop()
})

test('where the server does not tell when things were captured, nothing is held back', async () => {
  const pair = { sound: new Model(120, 0, noise(5), false), picture: new Model(5, 20, noise(5), false) }
  const lips = new Lips(() => [paired(pair.sound, pair.picture)])
  lips.start()
  await watch(5, [pair.sound, pair.picture], pair)
  expect([pair.sound.jitterBufferTarget, pair.picture.jitterBufferTarget]).toEqual([null, null])
  lips.stop()
})

test('what is held for repair is held, in step too', async () => {
  const pair = { sound: new Model(60, 0, noise(5)), picture: new Model(40, 20, noise(15)) }
  const [voice, face] = [paired(pair.sound, pair.picture).sound, paired(pair.sound, pair.picture).picture]
  const buffers = new Buffers()
  const lips = new Lips(() => [paired(pair.sound, pair.picture)], buffers)
  for (const one of [voice, face]) buffers.of(one).lift(240)
  lips.start()
  await watch(8, [pair.sound, pair.picture], pair)
  expect(most(await watch(10, [pair.sound, pair.picture], pair))).toBeLessThan(20)
  expect(Math.min(pair.sound.kept, pair.picture.late)).toBeGreaterThan(235)
  for (const one of [voice, face]) buffers.of(one).lift(0)
  await watch(8, [pair.sound, pair.picture], pair)
  expect(Math.max(pair.sound.late, pair.picture.late)).toBeLessThan(90)
  expect(most(await watch(10, [pair.sound, pair.picture], pair))).toBeLessThan(20)
  lips.stop()
})
