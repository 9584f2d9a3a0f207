import { expect, test } from 'vitest'
import { type Check, type Plane, reportOf, type State, verdictOf } from '../src/check/checks.ts'
import { only, serversOf } from '../src/check/ways.ts'

const checks = (states: Record<string, State>, causes: Record<string, string> = {}): Check[] =>
  Object.entries(states).map(([id, state]) => {
    const cause = causes[id]
    return { id, plane: id.split('.')[0] as Plane, name: id, state, ...(cause ? { cause } : {}) }
  })

const noMedia = {
  'rest.livez': 'ok',
  'ice.udp': 'fail',
  'rtp.udp': 'skipped',
  'ice.tcp': 'fail',
  'rtp.tcp': 'skipped',
} as const

test.each([
  ['all is well', checks({ 'rtp.udp': 'ok', 'rtp.tcp': 'ok' }), 'good', 'Calls will work'],
  ['losses', checks({ 'rtp.udp': 'warn' }), 'good', 'Calls will work'],
  ['only TCP', checks({ 'rtp.udp': 'skipped', 'rtp.tcp': 'ok' }), 'detour', 'Calls will work, over TCP'],
  ['only a relay', checks({ ...noMedia, 'rtp.relay_tls': 'ok' }), 'detour', 'Calls will work, through the relay'],
  ['nothing', checks(noMedia), 'bad', 'Calls will not work: UDP blocked and no relay'],
  [
    'a relay that does not reach the server',
    checks({ ...noMedia, 'ice.relay_tcp_candidate': 'ok', 'ice.relay_tcp': 'fail' }),
    'bad',
    'Calls will not work: UDP blocked, and the relay does not reach the server',
  ],
  [
    'no sound',
    checks({ 'rtp.udp': 'fail', 'ice.tcp': 'fail' }, { 'rtp.udp': 'no inbound packets' }),
    'bad',
    'Calls will not work: no inbound packets',
  ],
  [
    'REST down',
    checks({ 'rest.livez': 'fail', 'ice.udp': 'skipped' }, { 'rest.livez': 'REST down: HTTP 502' }),
    'bad',
    'Calls will not work: REST down: HTTP 502',
  ],
])('the verdict on %s', (_, all, tone, text) => {
  expect(verdictOf(all)).toEqual({ tone, text })
})

test('the report has every check and the verdict', () => {
  const report = reportOf(checks({ 'rtp.udp': 'ok', 'ice.tcp': 'fail' }, { 'ice.tcp': 'blocked' }), {
    url: 'https://meet.example.org',
    browser: 'a browser',
    at: new Date(0),
  })
  expect(report).toBe(
    'Connection test of https://meet.example.org\nCalls will work\n1970-01-01T00:00:00.000Z\na browser\n\nok      rtp.udp: \nfail    ice.tcp: blocked\n',
  )
})

const answer = [
  'v=0',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111',
  'a=candidate:1 1 udp 2130706431 192.0.2.1 7881 typ host',
  'a=candidate:2 1 tcp 1671430143 192.0.2.1 7881 typ host tcptype passive',
  'a=end-of-candidates',
  '',
].join('\r\n')

test.each([
  ['udp', 1, 0],
  ['tcp', 0, 1],
  [undefined, 1, 1],
] as const)('an answer with the candidates of %s', (protocol, udp, tcp) => {
  const lines = only(answer, protocol).split('\r\n')
  expect(lines.filter(line => line.includes(' udp '))).toHaveLength(udp)
  expect(lines.filter(line => line.includes(' tcp '))).toHaveLength(tcp)
  expect(lines.at(-2)).toBe('a=end-of-candidates')
})

test('the servers of a way', () => {
  const urls = [
    'turn:relay.example:3478?transport=udp',
    'turn:relay.example:3478?transport=tcp',
    'turns:relay.example:443?transport=tcp',
  ]
  const ticket = { ice_servers: [{ urls, username: 'u', credential: 'c' }, { urls: 'stun:stun.example' }] } as never
  expect(serversOf(ticket, 'UDP').map(server => server.urls)).toEqual([[urls[0]], ['stun:stun.example']])
  expect(serversOf(ticket, 'TCP')).toEqual([{ urls: [urls[1]], username: 'u', credential: 'c' }])
  expect(serversOf(ticket, 'TLS').map(server => server.urls)).toEqual([[urls[2]]])
})
