import type { Downlink, Slot } from '@parley-sfu/client'

/** Why a slot shows nothing, or not what it could, in words for people; undefined where all is as it should be. */
export function explain(slot: Slot): string | undefined {
  if (slot.state === 'active') return slot.reason ? (active[slot.reason] ?? slot.reason) : undefined
  return slot.reason ? (paused[slot.reason] ?? slot.reason) : 'nothing to show'
}

const paused: Readonly<Record<string, string>> = {
  bandwidth: 'paused: the downlink has no room for it',
  muted: 'muted by its sender',
  requested: 'paused, as this page asked',
  unsupported_codec: 'this browser cannot decode it',
}

const active: Readonly<Record<string, string>> = {
  bandwidth: 'smaller than it could be: the downlink has no room for more',
  no_packets: 'nothing comes from the sender',
}

/** What keeps the server from sending more, in words for people. */
export function limitOf(downlink: Downlink): string {
  if (downlink.allocated >= downlink.wanted) return 'everything fits'
  return limits[downlink.limit ?? ''] ?? 'the link is being measured'
}

const limits: Readonly<Record<string, string>> = {
  delay: 'packets begin to queue',
  loss: 'packets are lost',
  remb: 'this browser asked for no more',
  reports: 'this browser reports losses',
  silence: 'this browser reports nothing',
}
