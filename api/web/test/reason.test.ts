import type { Downlink, Slot } from '@parley-sfu/client'
import { expect, test } from 'vitest'
import { explain, limitOf } from '../src/meeting/reason.ts'

test.each<[Slot['state'], string | undefined, string | undefined]>([
  ['active', undefined, undefined],
  ['active', 'bandwidth', 'smaller than it could be: the downlink has no room for more'],
  ['active', 'no_packets', 'nothing comes from the sender'],
  ['paused', 'bandwidth', 'paused: the downlink has no room for it'],
  ['paused', 'muted', 'muted by its sender'],
  ['paused', 'a new one', 'a new one'],
  ['empty', undefined, 'nothing to show'],
])('%s because of %s', (state, reason, want) => {
  expect(explain({ mid: '1', kind: 'video', state, ...(reason ? { reason } : {}) })).toBe(want)
})

test.each<[Partial<Downlink>, string]>([
  [{ wanted: 900_000, allocated: 900_000, limit: 'delay' }, 'everything fits'],
  [{ wanted: 900_000, allocated: 400_000, limit: 'delay' }, 'packets begin to queue'],
  [{ wanted: 900_000, allocated: 400_000, limit: 'loss' }, 'packets are lost'],
  [{ wanted: 900_000, allocated: 400_000 }, 'the link is being measured'],
])('%o', (downlink, want) => {
  expect(limitOf({ estimate: 1, wanted: 0, allocated: 0, queue_ms: 0, lost: 0, ...downlink })).toBe(want)
})
