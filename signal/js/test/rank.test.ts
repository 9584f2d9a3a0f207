import { expect, test } from 'vitest'
import { rankCandidates } from '../src/rank.ts'

// What the server answers with: two addresses, each over UDP and TCP.
const answer = [
  'v=0',
  'a=mid:0',
  'a=candidate:1 1 udp 2130706431 10.0.0.1 7881 typ host',
  'a=candidate:101 1 tcp 1518346495 10.0.0.1 7881 typ host tcptype passive',
  'a=candidate:2 1 udp 2130706175 10.0.0.2 7881 typ host',
  'a=candidate:102 1 tcp 1518346239 10.0.0.2 7881 typ host tcptype passive',
  'a=end-of-candidates',
  '',
].join('\r\n')

const line = /a=candidate:(\d+) 1 \S+ (\d+)/g
const priorities = (sdp: string): number[] => [...sdp.matchAll(line)].map(([, , priority]) => Number(priority))
const order = (sdp: string): string[] =>
  [...sdp.matchAll(line)].sort((a, b) => Number(b[2]) - Number(a[2])).map(([, foundation]) => foundation ?? '')

// By type of candidate, as browsers have them.
const relay = 3 << 24
const lowestDirect = 80 << 24

test.each([0, 1, 2, 100, 5_000, 1_000_000])(
  'in generation %i the server decides among direct paths, and relays are last',
  generation => {
    const ranked = rankCandidates(answer, generation)
    expect(order(ranked)).toEqual(['1', '2', '101', '102'])
    for (const priority of priorities(ranked)) {
      expect(priority).toBeGreaterThan(relay)
      expect(priority).toBeLessThan(lowestDirect)
    }
  },
)

test('each candidate is above all of its transport in the generation before', () => {
  const [udp, tcp, udp2, tcp2] = priorities(rankCandidates(answer, 7))
  const [oldUdp, oldTcp] = priorities(rankCandidates(answer, 6))
  expect(Math.min(udp ?? 0, udp2 ?? 0)).toBeGreaterThan(oldUdp ?? 0)
  expect(Math.min(tcp ?? 0, tcp2 ?? 0)).toBeGreaterThan(oldTcp ?? 0)
})

test('nothing else is touched', () => {
  const without = (sdp: string): string => sdp.replace(line, '')
  expect(without(rankCandidates(answer, 3))).toBe(without(answer))
  expect(rankCandidates('v=0\r\n', 3)).toBe('v=0\r\n')
})
