import { expect, test } from 'vitest'
import { amount, type Cluster, type Node, rate, regionsOf, roomsOf, waysOf } from '../src/cluster/figures.ts'

const node = (id: string, region: string, participants = 0): Node => ({
  id,
  region,
  sfu_endpoint: '',
  roles: [],
  version: '',
  draining: false,
  load: { cpu: 0, packets_per_second: 0, bits_per_second: 0, participants },
  self: false,
})
const cluster = (at: number, links: Cluster['links']): Cluster => ({ at, nodes: [], rooms: [], links, silent: [] })
const end = (from: string, peer: string, sent: number): Cluster['links'][0] => ({
  node: from,
  peer,
  up: true,
  sent_bytes: sent,
  received_bytes: 0,
})

test('nodes stand with their region, both by name', () => {
  const regions = regionsOf([node('us-1', 'us', 2), node('eu-2', 'eu', 1), node('eu-1', 'eu', 4)])
  expect(regions.map(region => [region.name, region.nodes.map(n => n.id), region.participants])).toEqual([
    ['eu', ['eu-1', 'eu-2'], 5],
    ['us', ['us-1'], 2],
  ])
})

test('the parts of a room are one room, and the largest comes first', () => {
  const rooms = roomsOf([
    { meeting_id: 'a', node: 'n1', participants: 1, home: false },
    { meeting_id: 'b', node: 'n1', participants: 2, home: false },
    { meeting_id: 'b', node: 'n2', participants: 5, home: false },
  ])
  expect(rooms.map(room => [room.id, room.participants, room.parts.map(part => part.node)])).toEqual([
    ['b', 7, ['n2', 'n1']],
    ['a', 1, ['n1']],
  ])
})

test('rates come from two readings, and a counter that began anew has none', () => {
  const before = cluster(1_000, [end('n1', 'n2', 1_000), end('n2', 'n1', 9_000)])
  const now = cluster(3_000, [end('n2', 'n1', 500), end('n1', 'n2', 251_000), end('n1', 'n3', 10)])
  expect(waysOf(now, before).map(way => [way.from, way.to, way.bitsPerSecond])).toEqual([
    ['n1', 'n2', 1_000_000],
    ['n1', 'n3', undefined],
    ['n2', 'n1', undefined],
  ])
  expect(waysOf(now).every(way => way.bitsPerSecond === undefined)).toBe(true)
})

test.each([
  [undefined, '–'],
  [0, '0 kbit/s'],
  [994_000, '994 kbit/s'],
  [1_700_000, '1.7 Mbit/s'],
])('%s bits a second are %s', (bits, text) => {
  expect(rate(bits)).toBe(text)
})

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1_500, '1.5 kB'],
  [999_999, '1.0 MB'],
  [123_000_000, '123 MB'],
])('%s bytes are %s', (bytes, text) => {
  expect(amount(bytes)).toBe(text)
})
