import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Slot } from '../src/roster.ts'
import { assign, carriedBy, expectsMedia, Subscriber, type View } from '../src/subscription.ts'
import type { SlotRequest } from '../src/wire.ts'

const view = (trackId: string, width = 320, height = 180, priority = 0): View => ({ trackId, width, height, priority })
const bindings = (requests: readonly SlotRequest[]): Record<string, string | undefined> =>
  Object.fromEntries(requests.map(one => [one.mid, one.track_id]))

test('media is expected in slots that are active, but not of those of whom the server hears nothing', () => {
  const slot = (state: Slot['state'], participant_id?: string, reason?: string): Slot => ({
    mid: '1',
    kind: 'audio',
    state,
    ...(participant_id ? { participant_id } : {}),
    ...(reason ? { reason } : {}),
  })
  expect(expectsMedia([])).toBe(false)
  expect(expectsMedia([slot('empty'), slot('paused', 'a', 'muted')])).toBe(false)
  expect(expectsMedia([slot('active', 'a')])).toBe(true)
  expect(expectsMedia([slot('active', 'a', 'no_packets'), slot('active', 'a')])).toBe(false)
  expect(expectsMedia([slot('active', 'a', 'no_packets'), slot('active', 'b')])).toBe(true)
})

describe('assign', () => {
  test('new tracks take free slots, the important ones first', () => {
    const { requests, missing } = assign(['1', '2'], new Map(), [view('a'), view('b', 1, 1, 5), view('c', 1, 1, 9)])
    expect(bindings(requests)).toEqual({ '1': 'c', '2': 'b' })
    expect(missing).toBe(1)
  })

  test('a track stays in the slot that carries it', () => {
    const carried = new Map([
      ['2', 'a'],
      ['3', 'gone'],
    ])
    const { requests, missing } = assign(['1', '2', '3'], carried, [view('b', 1, 1, 9), view('a')])
    expect(bindings(requests)).toEqual({ '1': 'b', '2': 'a' })
    expect(missing).toBe(0)
  })

  test('slots that show nothing are left out', () => {
    expect(assign(['1', '2'], new Map([['1', 'a']]), []).requests).toEqual([])
  })

  test('sizes are rounded up to steps and never zero', () => {
    const { requests } = assign(['1', '2'], new Map(), [view('a', 641, 360), view('b', 0, 0)])
    expect(requests[0]).toMatchObject({ max_width: 656, max_height: 368 })
    expect(requests[1]).toMatchObject({ max_width: 16, max_height: 16 })
  })
})

describe('carriedBy', () => {
  const slot = (mid: string, track_id?: string): Slot => ({
    mid,
    kind: 'video',
    state: track_id ? 'active' : 'empty',
    ...(track_id ? { track_id } : {}),
  })

  test('what was asked for is ahead of what the server last said', () => {
    const carried = carriedBy([slot('1', 'a'), slot('2', 'b'), slot('3')], [{ mid: '2', track_id: 'c' }])
    expect([...carried]).toEqual([
      ['1', 'a'],
      ['2', 'c'],
    ])
  })

  test('a track is never in two slots', () => {
    const carried = carriedBy([slot('1', 'a'), slot('2')], [{ mid: '2', track_id: 'a' }])
    expect([...carried]).toEqual([['2', 'a']])
  })
})

describe('Subscriber', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())
  const sized = (width: number, track = 'a'): SlotRequest[] => [{ mid: '1', track_id: track, max_width: width }]

  test('sends other tracks at once and sizes when they have settled', () => {
    const send = vi.fn()
    const subscriber = new Subscriber(send, 150)
    subscriber.update(sized(320))
    expect(send).toHaveBeenCalledTimes(1)
    for (let width = 336; width <= 640; width += 16) {
      subscriber.update(sized(width))
      vi.advanceTimersByTime(100)
    }
    expect(send).toHaveBeenCalledTimes(1)
    vi.advanceTimersByTime(150)
    expect(send).toHaveBeenCalledTimes(2)
    expect(send).toHaveBeenLastCalledWith(sized(640))
    subscriber.update(sized(320, 'b'))
    expect(send).toHaveBeenCalledTimes(3)
  })

  test('says nothing twice, and everything again after a reset', () => {
    const send = vi.fn()
    const subscriber = new Subscriber(send, 150)
    subscriber.update(sized(320))
    subscriber.update(sized(320))
    vi.advanceTimersByTime(1_000)
    expect(send).toHaveBeenCalledTimes(1)
    subscriber.reset()
    subscriber.update(sized(320))
    expect(send).toHaveBeenCalledTimes(2)
  })

  test('a size that came back to where it was is not sent', () => {
    const send = vi.fn()
    const subscriber = new Subscriber(send, 150)
    subscriber.update(sized(320))
    subscriber.update(sized(640))
    subscriber.update(sized(320))
    vi.advanceTimersByTime(1_000)
    expect(send).toHaveBeenCalledTimes(1)
  })
})
