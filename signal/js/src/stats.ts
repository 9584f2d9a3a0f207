import type { Source } from './outlet.ts'
import type { Slot } from './roster.ts'

/** What one slot received since the digest before. */
export interface InboundStats {
  mid: string
  kind: 'audio' | 'video'
  slot?: Slot
  codec: string
  /** Bits per second. */
  bitrate: number
  width: number
  height: number
  fps: number
  framesDecoded: number
  freezes: number
  freezeSeconds: number
  packetsReceived: number
  packetsLost: number
  /** Lost packets of those expected, 0 to 1. */
  loss: number
  jitterMs: number
  /** Sum of squared samples: grows while there is sound. */
  audioEnergy: number
}

/** What one layer sent since the digest before. */
export interface OutboundStats {
  source: Source | ''
  rid: string
  active: boolean
  codec: string
  /** Bits per second. */
  bitrate: number
  width: number
  height: number
  fps: number
  /** Why the browser sends less than it could: cpu, bandwidth, other or none. */
  limitation: string
  nacks: number
  keyframes: number
}

/** One end of the path of media. */
export interface CandidateStats {
  /** host, srflx, prflx or relay. */
  type: string
  /** udp or tcp; of a relay, what it sends to the node: udp. */
  protocol: string
  /** udp, tcp or tls: between the browser and its relay. */
  relayProtocol?: string
  address: string
  port: number
}

/** The path of media. */
export interface CandidatePair {
  local: CandidateStats
  remote: CandidateStats
}

/** The connection in numbers. */
export interface StatsDigest {
  /** Milliseconds since the epoch. */
  at: number
  rttMs: number
  /** Bits per second that the browser believes it can send. */
  available: number
  /** For example "udp host → prflx"; through a relay "tls relay → host", by what leads to it. */
  path: string
  /** The candidates that media goes between, where it does. */
  pair?: CandidatePair
  inbound: InboundStats[]
  outbound: OutboundStats[]
}

// biome-ignore lint/suspicious/noExplicitAny: the fields of a report differ by its type and browser
type Report = any
type Reports = Iterable<[string, Report]>

/** Boils a browser's report down, with rates against the report before. */
export class StatsDigester {
  #before = new Map<string, Report>()

  digest(reports: Reports, slots: readonly Slot[], sources: ReadonlyMap<string, Source>): StatsDigest {
    const now = new Map<string, Report>(reports)
    const pair = this.#pair(now)
    const digest: StatsDigest = {
      at: Date.now(),
      rttMs: Math.round((pair?.currentRoundTripTime ?? 0) * 1000),
      available: pair?.availableOutgoingBitrate ?? 0,
      path: path(now, pair),
      ...selected(now, pair),
      inbound: [],
      outbound: [],
    }
    for (const report of now.values()) {
      if (report.type === 'inbound-rtp') digest.inbound.push(this.#inbound(now, report, slots))
      if (report.type === 'outbound-rtp') digest.outbound.push(this.#outbound(now, report, sources))
    }
    digest.inbound.sort((a, b) => Number(a.mid) - Number(b.mid))
    this.#before = now
    return digest
  }

  #inbound(now: Map<string, Report>, report: Report, slots: readonly Slot[]): InboundStats {
    const before = this.#before.get(report.id)
    const received = gain(report, before, 'packetsReceived')
    const lost = Math.max(0, gain(report, before, 'packetsLost'))
    const slot = slots.find(one => one.mid === report.mid)
    return {
      mid: report.mid ?? '',
      kind: report.kind,
      ...(slot ? { slot } : {}),
      codec: codec(now, report),
      bitrate: rate(report, before, 'bytesReceived') * 8,
      width: report.frameWidth ?? 0,
      height: report.frameHeight ?? 0,
      fps: Math.round(report.framesPerSecond ?? 0),
      framesDecoded: report.framesDecoded ?? 0,
      freezes: report.freezeCount ?? 0,
      freezeSeconds: report.totalFreezesDuration ?? 0,
      packetsReceived: report.packetsReceived ?? 0,
      packetsLost: report.packetsLost ?? 0,
      loss: received + lost > 0 ? lost / (received + lost) : 0,
      jitterMs: Math.round((report.jitter ?? 0) * 1000),
      audioEnergy: report.totalAudioEnergy ?? 0,
    }
  }

  #outbound(now: Map<string, Report>, report: Report, sources: ReadonlyMap<string, Source>): OutboundStats {
    const before = this.#before.get(report.id)
    return {
      source: sources.get(report.mid) ?? '',
      rid: report.rid ?? '',
      active: report.active ?? true,
      codec: codec(now, report),
      bitrate: rate(report, before, 'bytesSent') * 8,
      width: report.frameWidth ?? 0,
      height: report.frameHeight ?? 0,
      fps: Math.round(report.framesPerSecond ?? 0),
      limitation: report.qualityLimitationReason ?? 'none',
      nacks: report.nackCount ?? 0,
      keyframes: report.keyFramesEncoded ?? 0,
    }
  }

  #pair(now: Map<string, Report>): Report {
    const reports = [...now.values()]
    const transport = reports.find(report => report.type === 'transport' && report.selectedCandidatePairId)
    if (transport) return now.get(transport.selectedCandidatePairId)
    return reports.find(report => report.type === 'candidate-pair' && report.nominated && report.state === 'succeeded')
  }
}

function gain(report: Report, before: Report, field: string): number {
  return (report[field] ?? 0) - (before?.[field] ?? 0)
}

/** Units per second since the report before; 0 for the first. */
function rate(report: Report, before: Report, field: string): number {
  const seconds = before ? (report.timestamp - before.timestamp) / 1000 : 0
  return seconds > 0 ? Math.max(0, gain(report, before, field) / seconds) : 0
}

function codec(now: Map<string, Report>, report: Report): string {
  const name: string = now.get(report.codecId)?.mimeType ?? ''
  return name.slice(name.indexOf('/') + 1)
}

function path(now: Map<string, Report>, pair: Report): string {
  const local = now.get(pair?.localCandidateId)
  const remote = now.get(pair?.remoteCandidateId)
  const protocol = local?.relayProtocol ?? local?.protocol
  return local && remote ? `${protocol} ${local.candidateType} → ${remote.candidateType}` : ''
}

function selected(now: Map<string, Report>, pair: Report): { pair?: CandidatePair } {
  const local = now.get(pair?.localCandidateId)
  const remote = now.get(pair?.remoteCandidateId)
  return local && remote ? { pair: { local: candidate(local), remote: candidate(remote) } } : {}
}

function candidate(report: Report): CandidateStats {
  return {
    type: report.candidateType,
    protocol: report.protocol,
    ...(report.relayProtocol ? { relayProtocol: report.relayProtocol } : {}),
    address: report.address ?? '',
    port: report.port ?? 0,
  }
}
