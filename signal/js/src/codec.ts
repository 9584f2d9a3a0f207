/** The codecs that a slot receives: those that the server forwards in simulcast, and retransmission. */
const slotCodecs = /^video\/(vp8|h264|rtx)$/i

/** VP8 first, H.264 second, the rest as the browser has them. */
function rank(codec: RTCRtpCodec): number {
  const name = codec.mimeType.toLowerCase()
  return name === 'video/vp8' ? 0 : name === 'video/h264' ? 1 : 2
}

/** Orders a camera's codecs and drops none. */
export function preferSimulcast<C extends RTCRtpCodec>(codecs: readonly C[]): C[] {
  return [...codecs].sort((a, b) => rank(a) - rank(b))
}

/** Keeps the codecs of a slot. */
export function forSlot<C extends RTCRtpCodec>(codecs: readonly C[]): C[] {
  return preferSimulcast(codecs.filter(codec => slotCodecs.test(codec.mimeType)))
}

/** A camera's layers, lowest first. */
export const cameraLayers: readonly RTCRtpEncodingParameters[] = [
  { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
]

/** A screen's layers: text is unreadable at a quarter of its size, so there are two. */
export const screenLayers: readonly RTCRtpEncodingParameters[] = [
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 600_000 },
  { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 2_500_000 },
]
