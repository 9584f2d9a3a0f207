/** A codec in which one stream can have all layers (scalable video coding). */
export type ScalableCodec = 'vp9' | 'av1'

/** A picture sent as one stream with layers in itself. */
export interface Scalable {
  codec: ScalableCodec
  /** Of WebRTC-SVC, such as L3T3_KEY or L1T3. */
  mode: string
}

/** What video is coded in, beyond VP8 and H.264. */
export interface VideoOptions {
  /** How a camera is sent where the browser can; otherwise in simulcast. Those who do not receive the codec are told so in place of a picture. */
  camera?: Scalable
  /** What slots take as well. */
  receive?: readonly ScalableCodec[]
}

/** The codecs that a slot receives in any case, and retransmission. */
const slotCodecs = /^video\/(vp8|h264|rtx)$/i

/** Whether a codec is the one named, in the profile that the server forwards. */
function matches(codec: RTCRtpCodec, name: ScalableCodec): boolean {
  const profile = /(?:^|;)\s*profile(?:-id)?=(\d+)/.exec(codec.sdpFmtpLine ?? '')?.[1] ?? '0'
  return codec.mimeType.toLowerCase() === `video/${name}` && profile === '0'
}

/** VP8 first, H.264 second, the rest as the browser has them. */
function rank(codec: RTCRtpCodec): number {
  const name = codec.mimeType.toLowerCase()
  return name === 'video/vp8' ? 0 : name === 'video/h264' ? 1 : 2
}

/** Orders a camera's codecs and drops none. */
export function preferSimulcast<C extends RTCRtpCodec>(codecs: readonly C[]): C[] {
  return [...codecs].sort((a, b) => rank(a) - rank(b))
}

/** Orders a camera's codecs so that one comes first, and drops none; undefined where that one is not there. */
export function prefer<C extends RTCRtpCodec>(codecs: readonly C[], name: ScalableCodec): C[] | undefined {
  const first = codecs.filter(codec => matches(codec, name))
  return first.length > 0 ? [...first, ...preferSimulcast(codecs.filter(codec => !first.includes(codec)))] : undefined
}

/** Keeps the codecs of a slot. */
export function forSlot<C extends RTCRtpCodec>(codecs: readonly C[], more: readonly ScalableCodec[] = []): C[] {
  return preferSimulcast(
    codecs.filter(codec => slotCodecs.test(codec.mimeType) || more.some(name => matches(codec, name))),
  )
}

/** The most that a camera is sent with, in bit/s, when it is one stream. */
export const scalableBitrate = 2_000_000

/** How many times less a layer takes than one of twice its width. */
const lighter = 3.4

/**
 * How a picture that has layers in itself is sent when only its smallest sizes are wanted: those stay as large as they were. Undefined for
 * modes that are not made of sizes which need each other.
 */
export function shrink(mode: string, sizes: number | undefined): Scaled | undefined {
  const parts = /^L([1-3])T([1-3])(h?)((?:_KEY)?)/.exec(mode)
  if (!parts) return undefined
  const [all, pictures, half, key] = [Number(parts[1]), parts[2], parts[3], parts[4]]
  const kept = Math.min(Math.max(sizes || all, 1), all)
  if (kept === all) return { scalabilityMode: mode, scaleResolutionDownBy: 1, maxBitrate: scalableBitrate }
  const scale = (half ? 1.5 : 2) ** (all - kept)
  return {
    scalabilityMode: kept === 1 ? `L1T${pictures}` : `L${kept}T${pictures}${half}${key}`,
    scaleResolutionDownBy: scale,
    maxBitrate: Math.round(scalableBitrate / lighter ** Math.log2(scale)),
  }
}

/** What decides how large a picture is sent that has layers in itself. */
export interface Scaled {
  scalabilityMode: string
  scaleResolutionDownBy: number
  maxBitrate: number
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
