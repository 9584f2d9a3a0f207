import type { View } from '@parley-sfu/client'
import { expect, test } from 'vitest'
import { Views } from '../src/meeting/views.ts'
import { hueOf, initialsOf } from '../src/ui/avatar.tsx'

function watched(ratio = 1): { views: Views; shown: (readonly View[])[] } {
  const shown: (readonly View[])[] = []
  return {
    views: new Views(
      list => shown.push(list),
      () => ratio,
    ),
    shown,
  }
}
const settle = (): Promise<void> => Promise.resolve()

test('what many tiles say at once is one wish, in device pixels', async () => {
  const { views, shown } = watched(2)
  views.set({}, 'a', 320, 180, 1)
  views.set({}, 'b', 100.4, 100, 2)
  await settle()
  expect(shown).toEqual([
    [
      { trackId: 'a', width: 640, height: 360, priority: 1 },
      { trackId: 'b', width: 201, height: 200, priority: 2 },
    ],
  ])
})

test('a tile that goes takes its wish along', async () => {
  const { views, shown } = watched()
  const tile = {}
  views.set(tile, 'a', 320, 180, 1)
  await settle()
  views.delete(tile)
  views.delete(tile)
  await settle()
  expect(shown).toHaveLength(2)
  expect(shown[1]).toEqual([])
})

test('a track shown twice is asked for at its larger size', async () => {
  const { views, shown } = watched()
  views.set({}, 'a', 1000, 600, 1)
  views.set({}, 'a', 200, 100, 9)
  await settle()
  expect(shown[0]).toEqual([{ trackId: 'a', width: 1000, height: 600, priority: 1 }])
})

test.each([
  ['Blue Room', 'BR'],
  ['  mei-ling   van zhao ', 'MZ'],
  ['Attic', 'A'],
  ['😀 Smile', '😀S'],
  ['', '?'],
])('the initials of %j are %s', (name, initials) => {
  expect(initialsOf(name)).toBe(initials)
})

test('a colour is always the same for an id and one of eight', () => {
  for (const id of ['pt_a', 'pt_b', '', 'ü']) {
    expect(hueOf(id)).toBe(hueOf(id))
    expect(hueOf(id)).toBeLessThan(8)
  }
})
