import { expect, test } from 'vitest'
import { Backoff } from '../src/backoff.ts'

test('waits are bounded by powers of two, then by the cap', () => {
  const backoff = new Backoff(100, 1_000, () => 1)
  expect(Array.from({ length: 6 }, () => backoff.next())).toEqual([100, 200, 400, 800, 1_000, 1_000])
})

test('the jitter is full: a wait can be anything below its bound', () => {
  const draws = [0, 0.25, 0.5, 0.999]
  const backoff = new Backoff(1_000, 8_000, () => draws.shift() ?? 0)
  expect(Array.from({ length: 4 }, () => backoff.next())).toEqual([0, 500, 2_000, 7_992])
})

test('a reset starts over, and counts do not overflow', () => {
  const backoff = new Backoff(100, 1_000, () => 1)
  for (let i = 0; i < 5_000; i++) backoff.next()
  expect(backoff.next()).toBe(1_000)
  expect(backoff.attempts).toBe(5_001)
  backoff.reset()
  expect(backoff.next()).toBe(100)
})
