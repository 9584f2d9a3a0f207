import { expect, test } from 'vitest'
import { cameraLayers, forSlot, prefer, preferSimulcast, scalableBitrate, shrink } from '../src/codec.ts'

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

test('a slot takes what it is told to as well, in the profile that the server forwards', () => {
  const profiles = [
    ...codecs.filter(one => one.mimeType !== 'video/VP9'),
    { mimeType: 'video/VP9', clockRate: 90_000, sdpFmtpLine: 'profile-id=2' },
    { mimeType: 'video/VP9', clockRate: 90_000, sdpFmtpLine: 'profile-id=0' },
  ]
  expect(names(forSlot(codecs, ['vp9']))).toEqual(['VP8', 'H264', 'H264', 'rtx', 'VP9'])
  expect(forSlot(profiles, ['vp9']).map(one => one.sdpFmtpLine)).toContain('profile-id=0')
  expect(forSlot(profiles, ['vp9']).map(one => one.sdpFmtpLine)).not.toContain('profile-id=2')
})

test('a camera with layers in one stream offers its codec first, where the browser has it', () => {
  expect(names(prefer(codecs, 'av1') ?? [])).toEqual(['AV1', 'VP8', 'H264', 'H264', 'rtx', 'VP9', 'red'])
  expect(prefer(codecs.slice(1), 'av1')).toBeUndefined()
})

test('layers are named lowest first, as browsers want them', () => {
  expect(cameraLayers.map(layer => [layer.rid, layer.scaleResolutionDownBy])).toEqual([
    ['q', 4],
    ['h', 2],
    ['f', 1],
  ])
})

test('what is left of a picture with layers in itself keeps its sizes', () => {
  const sent = (mode: string, sizes?: number): unknown[] => {
    const { scalabilityMode, scaleResolutionDownBy } = shrink(mode, sizes) ?? {}
    return [scalabilityMode, scaleResolutionDownBy]
  }
  expect(sent('L3T3_KEY')).toEqual(['L3T3_KEY', 1])
  expect(sent('L3T3_KEY', 3)).toEqual(['L3T3_KEY', 1])
  expect(sent('L3T3_KEY', 2)).toEqual(['L2T3_KEY', 2])
  expect(sent('L3T3_KEY', 1)).toEqual(['L1T3', 4])
  expect(sent('L2T1h', 1)).toEqual(['L1T1', 1.5])
  expect(sent('L1T3', 2)).toEqual(['L1T3', 1])
  expect(shrink('S3T3', 1)).toBeUndefined()
  expect(shrink('L3T3', 3)?.maxBitrate).toBe(scalableBitrate)
  expect(shrink('L3T3', 1)?.maxBitrate).toBeLessThan(scalableBitrate / 10)
})
