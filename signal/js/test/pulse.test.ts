import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Pulse } from '../src/pulse.ts'

let heard: number
let media: number
let control: number
let expected: boolean
let pulse: Pulse
let told: string[]
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)

beforeEach(() => {
  vi.useFakeTimers()
  ;[heard, media, control, expected, told] = [1, 1, 1, true, []]
  const arrivals = async () => ({ media, all: media + control })
  pulse = new Pulse({ heardAt: () => heard, arrivals, expects: () => expected }, () => 1)
  pulse.on('doubtful', () => told.push('doubtful'))
  pulse.on('silent', () => told.push('silent'))
  pulse.start()
})
afterEach(() => {
  pulse.stop()
  vi.useRealTimers()
})

/** Media comes for a while. */
async function flow(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    heard++
    media++
    await pass(100)
  }
}

test('while media flows nothing is told', async () => {
  await flow(10_000)
  expect(told).toEqual([])
})

/** The path carries nothing but checks and control packets for a while. */
async function idle(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    control++
    await pass(100)
  }
}

test('a path on which nothing comes is doubtful soon, and silent a little later', async () => {
  await flow(1_000)
  await pass(800)
  expect(told).toEqual(['doubtful'])
  await pass(600)
  expect(told).toEqual(['doubtful', 'silent'])
})

test('as long as nothing comes it is silent again and again, ever more rarely', async () => {
  await flow(1_000)
  pulse.on('silent', () => pulse.rest()) // another path is looked for, in vain
  await pass(10_000)
  expect(told.filter(one => one === 'silent').length).toBeGreaterThanOrEqual(3)
  await pass(110_000)
  expect(told.filter(one => one === 'silent').length).toBeLessThanOrEqual(10)
  expect(told.filter(one => one === 'doubtful')).toHaveLength(1)
})

test('where control packets come and nothing is expected the others are silent, not the path', async () => {
  await flow(1_000)
  expected = false
  await idle(60_000)
  expect(told).toEqual(['doubtful'])
})

test('where control packets come and media should, the server sends it over another path', async () => {
  await flow(1_000)
  await idle(3_000)
  expect(told).toEqual(['doubtful'])
  await idle(10_000)
  expect(told.filter(one => one === 'silent').length).toBeGreaterThanOrEqual(1)
  await idle(110_000)
  expect(told.filter(one => one === 'silent').length).toBeLessThanOrEqual(10)
})

test('where media should come and another path has just been looked for, it is silent soon', async () => {
  await flow(1_000)
  pulse.rest()
  await idle(2_200)
  expect(told).toEqual(['doubtful'])
  await idle(400)
  expect(told).toEqual(['doubtful', 'silent'])
})

test('media that come and are not shown are no fault of the path', async () => {
  await flow(1_000)
  for (let passed = 0; passed < 60_000; passed += 100) {
    media++
    await pass(100)
  }
  expect(told).toEqual(['doubtful'])
})

test('neither are they where the browser counts nothing else', async () => {
  await flow(1_000)
  pulse.stop()
  pulse = new Pulse(
    { heardAt: () => heard, arrivals: async () => ({ media, all: 0 }), expects: () => expected },
    () => 1,
  )
  pulse.on('silent', () => told.push('silent'))
  pulse.start()
  for (let passed = 0; passed < 60_000; passed += 100) {
    media++
    await pass(100)
  }
  expect(told).toEqual([])
})

test('what is heard again is missed as soon as at first', async () => {
  await flow(1_000)
  await pass(60_000)
  await flow(1_000)
  told = []
  await pass(1_400)
  expect(told).toEqual(['doubtful', 'silent'])
})

test('a path that is looked for anew has time', async () => {
  await flow(1_000)
  pulse.rest()
  await pass(1_600)
  expect(told).toEqual([])
  await pass(1_000)
  expect(told).toEqual(['doubtful', 'silent'])
})

test('what was never heard is missed where it is expected, or the path carries nothing at all', async () => {
  heard = 0
  await idle(5_000)
  expect(told).toEqual([])
  await idle(5_000)
  expect(told).toEqual(['silent'])
})

test('what was never heard is not missed where nothing is expected, and neither is it after the end', async () => {
  ;[heard, expected] = [0, false]
  await idle(60_000)
  await flow(1_000)
  pulse.stop()
  await pass(60_000)
  expect(told).toEqual([])
})
