import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Pulse } from '../src/pulse.ts'

let heard: number
let arrivals: number
let pulse: Pulse
let told: string[]
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)

beforeEach(() => {
  vi.useFakeTimers()
  ;[heard, arrivals, told] = [1, 1, []]
  pulse = new Pulse({ heardAt: () => heard, arrivals: async () => arrivals })
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
    arrivals++
    await pass(100)
  }
}

test('while media flows nothing is told', async () => {
  await flow(10_000)
  expect(told).toEqual([])
})

test('a path on which nothing comes is doubtful soon, and silent a little later, once', async () => {
  await flow(1_000)
  await pass(800)
  expect(told).toEqual(['doubtful'])
  await pass(600)
  expect(told).toEqual(['doubtful', 'silent'])
  await pass(60_000)
  expect(told).toEqual(['doubtful', 'silent'])
})

test('where control packets come the others are silent, not the path', async () => {
  await flow(1_000)
  for (let passed = 0; passed < 10_000; passed += 100) {
    arrivals++
    await pass(100)
  }
  expect(told).toEqual(['doubtful'])
})

test('a path that is looked for anew has time', async () => {
  await flow(1_000)
  pulse.rest()
  await pass(1_600)
  expect(told).toEqual([])
  await pass(1_000)
  expect(told).toEqual(['doubtful', 'silent'])
})

test('what was never heard is not missed, and neither is it after the end', async () => {
  heard = 0
  await pass(10_000)
  await flow(1_000)
  pulse.stop()
  await pass(10_000)
  expect(told).toEqual([])
})
