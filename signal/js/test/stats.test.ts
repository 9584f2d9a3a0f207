import { expect, test } from 'vitest'
import { StatsDigester } from '../src/stats.ts'

const reports = (at: number, packets: number, lost: number, bytes: number): [string, object][] => [
  ['T', { type: 'transport', selectedCandidatePairId: 'P' }],
  ['P', { type: 'candidate-pair', currentRoundTripTime: 0.042, localCandidateId: 'L', remoteCandidateId: 'R' }],
  ['L', { type: 'local-candidate', protocol: 'udp', candidateType: 'host' }],
  ['R', { type: 'remote-candidate', candidateType: 'prflx' }],
  ['C', { type: 'codec', mimeType: 'video/VP8' }],
  [
    'I',
    {
      id: 'I',
      type: 'inbound-rtp',
      kind: 'video',
      mid: '4',
      codecId: 'C',
      timestamp: at,
      packetsReceived: packets,
      packetsLost: lost,
      bytesReceived: bytes,
      frameWidth: 640,
      frameHeight: 360,
      framesPerSecond: 29.7,
      jitter: 0.0042,
    },
  ],
  ['O', { id: 'O', type: 'outbound-rtp', mid: '1', rid: 'q', active: false, timestamp: at, bytesSent: bytes * 2 }],
]

test('rates and losses are those since the digest before', () => {
  const digester = new StatsDigester()
  const slot = { mid: '4', kind: 'video', state: 'active', participant_id: 'pt_a' } as const
  const sources = new Map([['1', 'camera' as const]])
  const first = digester.digest(reports(1_000, 100, 0, 50_000), [slot], sources)
  expect(first.inbound[0]).toMatchObject({ bitrate: 0, loss: 0 })
  const second = digester.digest(reports(3_000, 190, 10, 300_000), [slot], sources)
  expect(second).toMatchObject({ rttMs: 42, path: 'udp host → prflx' })
  expect(second.inbound).toHaveLength(1)
  expect(second.inbound[0]).toMatchObject({
    bitrate: 1_000_000,
    loss: 0.1,
    width: 640,
    fps: 30,
    jitterMs: 4,
    codec: 'VP8',
    slot,
  })
  expect(second.outbound[0]).toMatchObject({ source: 'camera', rid: 'q', active: false, bitrate: 2_000_000 })
})

test('a path through a relay says what leads to it', () => {
  const digest = new StatsDigester().digest(
    [
      [
        'P',
        { type: 'candidate-pair', nominated: true, state: 'succeeded', localCandidateId: 'L', remoteCandidateId: 'R' },
      ],
      [
        'L',
        {
          type: 'local-candidate',
          protocol: 'udp',
          relayProtocol: 'tls',
          candidateType: 'relay',
          address: '203.0.113.7',
          port: 50_000,
        },
      ],
      ['R', { type: 'remote-candidate', protocol: 'udp', candidateType: 'host', address: '203.0.113.8', port: 7881 }],
    ],
    [],
    new Map(),
  )
  expect(digest.path).toBe('tls relay → host')
  expect(digest.pair).toEqual({
    local: { type: 'relay', protocol: 'udp', relayProtocol: 'tls', address: '203.0.113.7', port: 50_000 },
    remote: { type: 'host', protocol: 'udp', address: '203.0.113.8', port: 7881 },
  })
})

test('an empty report is an empty digest', () => {
  expect(new StatsDigester().digest([], [], new Map())).toMatchObject({ rttMs: 0, path: '', inbound: [], outbound: [] })
})
