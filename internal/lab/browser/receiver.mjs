// What a receiver of many streams counts. These functions run inside the page; what slots carry is by the signalling messages,
// all else by the browser's own statistics.

/** Runs before the page's own scripts: the screen has twice the pixels, so that tiles want large pictures and cost as small ones. */
export function sharpScreen() {
  Object.defineProperty(window, 'devicePixelRatio', { value: 2 })
}

/**
 * One look: the clock of the machine in milliseconds, and of each stream what it carries and its counters from the start. Of another
 * server than Parley a stream carries one sender for good, in a layer that its width tells.
 */
export async function look() {
  // Milliseconds from when something was captured to when it was played, and a number that all of one publisher have in common; 0 is unknown.
  const late = (connection, mid) => {
    const receiver = connection.getTransceivers().find(one => one.mid === mid)?.receiver
    const newest = receiver?.getSynchronizationSources()[0]
    return newest?.captureTimestamp ? newest.timestamp - newest.captureTimestamp : 0
  }
  const slots = window.parley && new Map(window.parley.roster.slots.map(slot => [slot.mid, slot]))
  const alone = one => ({ participant_id: one.mid, state: 'active', layer: { 320: 'q', 640: 'h', 1280: 'f' }[one.frameWidth] })
  const streams = []
  for (const connection of window.lab.connections) {
    if (connection.connectionState === 'closed') continue
    for (const one of (await connection.getStats()).values()) {
      if (one.type !== 'inbound-rtp') continue
      const slot = slots ? slots.get(one.mid) : alone(one)
      streams.push({
        mid: one.mid,
        kind: one.kind,
        participant: slot?.participant_id ?? '',
        layer: slot?.layer ?? '',
        state: slot?.state ?? '',
        reason: slot?.reason ?? '',
        packets: one.packetsReceived ?? 0,
        lost: (one.packetsLost ?? 0) - (one.retransmittedPacketsReceived ?? 0), // the browser counts what came by RTX as lost
        bytes: (one.bytesReceived ?? 0) + (one.headerBytesReceived ?? 0),
        nacks: one.nackCount ?? 0,
        plis: one.pliCount ?? 0,
        frames: one.framesDecoded ?? 0,
        dropped: one.framesDropped ?? 0,
        width: one.frameWidth ?? 0,
        freezes: one.freezeCount ?? 0,
        frozen: one.totalFreezesDuration ?? 0,
        samples: one.totalSamplesReceived ?? 0,
        concealed: (one.concealedSamples ?? 0) - (one.silentConcealedSamples ?? 0),
        buffered: one.jitterBufferDelay ?? 0,
        emitted: one.jitterBufferEmittedCount ?? 0,
        late: late(connection, one.mid),
      })
    }
  }
  return { at: Date.now(), streams }
}
