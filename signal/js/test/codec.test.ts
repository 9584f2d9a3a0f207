import { expect, test } from 'vitest'
import { cameraLayers, forSlot, prefer, preferSimulcast } from '../src/codec.ts'

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
