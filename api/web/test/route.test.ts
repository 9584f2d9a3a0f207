import { expect, test } from 'vitest'
import { meetingIn, routeOf } from '../src/route.ts'

test.each([
  ['/', { page: 'home' }],
  ['/m/mtg_abc-1', { page: 'meeting', id: 'mtg_abc-1' }],
  ['/m/mtg_abc/', { page: 'meeting', id: 'mtg_abc' }],
  ['/cluster', { page: 'cluster' }],
  ['/test', { page: 'test' }],
  ['/test/', { page: 'test' }],
  ['/tests', { page: 'missing' }],
  ['/clusters', { page: 'missing' }],
  ['/m/', { page: 'missing' }],
  ['/m/a/b', { page: 'missing' }],
  ['/m/%3Cscript%3E', { page: 'missing' }],
])('%s', (path, route) => {
  expect(routeOf(path)).toEqual(route)
})

test.each([
  ['a link', 'https://meet.example.org/m/mtg_abc', 'mtg_abc'],
  ['a link without its scheme', ' meet.example.org/m/mtg_abc ', 'mtg_abc'],
  ["a host's link", 'https://meet.example.org/m/mtg_abc#host_key=xyz', 'mtg_abc'],
  ['a code', 'mtg_abc', 'mtg_abc'],
  ['nothing', '  ', undefined],
  ['a sentence', 'let me in', undefined],
])('%s', (_, text, id) => {
  expect(meetingIn(text)).toBe(id)
})
