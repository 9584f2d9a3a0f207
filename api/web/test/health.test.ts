import type { InboundStats, StatsDigest, Track } from '@parley-sfu/client'
import { expect, test } from 'vitest'
import { Health } from '../src/meeting/health.ts'

type Moment = Partial<InboundStats> & { at: number; reason?: string; state?: string; layer?: string }

/** Looks at one slot of Ada's again and again, and tells the last causes. */
function watch(source: 'microphone' | 'camera', moments: Moment[], layers: string[] = []): string[] {
  const health = new Health()
  const track = { id: 'tr_1', participant_id: 'pt_ada', kind: 'audio', source, layers } as Track
  const troubles = moments.map(({ at, reason, state = 'active', layer = 'h', ...rest }) => {
    const slot = {
      mid: '0',
      track_id: 'tr_1',
      participant_id: 'pt_ada',
      kind: 'audio',
      source,
      layer,
      state,
      ...(reason ? { reason } : {}),
    }
    const one = {
      mid: '0',
      kind: source === 'microphone' ? 'audio' : 'video',
      packetsReceived: 0,
      framesDecoded: 0,
      freezes: 0,
      loss: 0,
      ...rest,
      slot,
    }
    return health.look({ at: at * 1000, inbound: [one], outbound: [] } as unknown as StatsDigest, () => track)
  })
  return (troubles.at(-1) ?? []).map(one => `${one.participantId} ${one.kind}: ${one.cause}`)
}

const unheard = 'pt_ada sound: no inbound packets from that participant’s microphone'

test.each<[string, Moment[], string[]]>([
  [
    'packets come',
    [
      { at: 0, packetsReceived: 1 },
      { at: 6, packetsReceived: 300 },
    ],
    [],
  ],
  ['the server gets none', [{ at: 0, reason: 'no_packets' }], [unheard]],
  [
    'none arrive here',
    [
      { at: 0, packetsReceived: 9 },
      { at: 6, packetsReceived: 9 },
    ],
    [`${unheard}: the server sends them, and they do not arrive here`],
  ],
  [
    'not for long',
    [
      { at: 0, packetsReceived: 9 },
      { at: 3, packetsReceived: 9 },
    ],
    [],
  ],
  [
    'muted meanwhile',
    [
      { at: 0, packetsReceived: 9 },
      { at: 3, packetsReceived: 9, state: 'paused' },
      { at: 6, packetsReceived: 9 },
    ],
    [],
  ],
])('a microphone: %s', (_, moments, want) => {
  expect(watch('microphone', moments)).toEqual(want)
})

test.each<[string, Moment[], string[], string[]]>([
  [
    'it moves',
    [
      { at: 0, framesDecoded: 1 },
      { at: 6, framesDecoded: 99 },
    ],
    ['q', 'h'],
    [],
  ],
  [
    'it stands still, and packets are lost',
    [
      { at: 0, framesDecoded: 9 },
      { at: 6, framesDecoded: 9, loss: 0.31 },
    ],
    ['q', 'h', 'f'],
    ['pt_ada picture: downlink below the layer h: 31 % of its packets are lost; simulcast not adapting'],
  ],
  [
    'it freezes, and there is no other layer',
    [
      { at: 0, framesDecoded: 9 },
      { at: 2, framesDecoded: 12, freezes: 1, layer: 'f' },
    ],
    ['f'],
    ['pt_ada picture: downlink below the layer f; simulcast missing'],
  ],
  [
    'it froze long ago',
    [{ at: 0 }, { at: 2, framesDecoded: 1, freezes: 1 }, { at: 20, framesDecoded: 300, freezes: 1 }],
    ['f'],
    [],
  ],
])('a picture: %s', (_, moments, layers, want) => {
  expect(watch('camera', moments, layers)).toEqual(want)
})
