import { expect, test } from 'vitest'
import { cameraLayers, forSlot, preferSimulcast } from '../src/codec.ts'

const codecs = ['AV1', 'rtx', 'VP9', 'H264', 'red', 'VP8', 'H264'].map((name, i) => ({
  mimeType: `video/${name}`,
  clockRate: 90_000,
  sdpFmtpLine: `n=${i}`,
}))
const names = (list: readonly RTCRtpCodec[]): string[] => list.map(one => one.mimeType.slice(6))

test('a camera offers VP8 first, H.264 next, and keeps everything else', () => {
  expect(names(preferSimulcast(codecs))).toEqual(['VP8', 'H264', 'H264', 'AV1', 'rtx', 'VP9', 'red'])
})

test('a slot takes what the server forwards, and retransmission', () => {
  expect(names(forSlot(codecs))).toEqual(['VP8', 'H264', 'H264', 'rtx'])
})

test('layers are named lowest first, as browsers want them', () => {
  expect(cameraLayers.map(layer => [layer.rid, layer.scaleResolutionDownBy])).toEqual([
    ['q', 4],
    ['h', 2],
    ['f', 1],
  ])
})
