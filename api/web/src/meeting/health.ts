import type { InboundStats, StatsDigest, Track } from '@parley-sfu/client'

/** Something that somebody does not get of somebody else, with its cause in the words of `parley doctor`. */
export interface Trouble {
  participantId: string
  kind: 'sound' | 'picture'
  cause: string
}

/** How long packets of an open microphone may be missing, and how long a freeze counts, in milliseconds. */
const soundless = 4_000
const frozenFor = 10_000
const badLoss = 0.02

/** Finds, from one digest to the next, what does not arrive and why. */
export class Health {
  #sound = new Map<string, { trackId: string; packets: number; since: number }>()
  #picture = new Map<
    string,
    { trackId: string; frozen: number; freezes: number; frames: number; moved: number; at: number; loss: number }
  >()

  /** Looks at a digest; tracks tell which layers there are. */
  look(digest: StatsDigest, trackOf: (trackId: string) => Track | undefined): Trouble[] {
    const troubles: Trouble[] = []
    for (const one of digest.inbound) {
      const { slot } = one
      if (!slot?.track_id || !slot.participant_id || slot.state !== 'active') {
        this.#sound.delete(one.mid)
        this.#picture.delete(one.mid)
        continue
      }
      const cause =
        slot.source === 'microphone'
          ? this.#soundCause(one, slot.track_id, digest.at)
          : one.kind === 'video'
            ? this.#pictureCause(one, slot.track_id, digest.at, trackOf(slot.track_id)?.layers ?? [])
            : undefined
      if (cause)
        troubles.push({ participantId: slot.participant_id, kind: one.kind === 'audio' ? 'sound' : 'picture', cause })
    }
    return troubles
  }

  #soundCause(one: InboundStats, trackId: string, at: number): string | undefined {
    const before = this.#sound.get(one.mid)
    const grown = before?.trackId !== trackId || one.packetsReceived !== before.packets
    const since = grown ? at : before.since
    this.#sound.set(one.mid, { trackId, packets: one.packetsReceived, since })
    if (one.slot?.reason === 'no_packets') return 'no inbound packets from that participant’s microphone'
    if (at - since < soundless) return undefined
    return 'no inbound packets from that participant’s microphone: the server sends them, and they do not arrive here'
  }

  #pictureCause(one: InboundStats, trackId: string, at: number, layers: readonly string[]): string | undefined {
    const known = this.#picture.get(one.mid)
    const before = known?.trackId === trackId ? known : undefined
    const shown = !before || one.framesDecoded !== before.frames
    const moved = shown ? at : before.moved
    const froze = before !== undefined && (one.freezes > before.freezes || at - moved >= soundless)
    const loss = Math.max(one.loss, (before?.loss ?? 0) * 0.7)
    const frozen = froze ? at : (before?.frozen ?? 0)
    this.#picture.set(one.mid, { trackId, frozen, freezes: one.freezes, frames: one.framesDecoded, moved, at, loss })
    if (frozen === 0 || at - frozen > frozenFor) return undefined
    const layer = one.slot?.layer ?? ''
    const lost = loss > badLoss ? `: ${Math.round(loss * 100)} % of its packets are lost` : ''
    const simulcast = layers.length < 2 ? 'simulcast missing' : 'simulcast not adapting'
    return `downlink below the layer ${layer}${lost}; ${simulcast}`
  }
}
