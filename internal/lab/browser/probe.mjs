// What the tests see of a page beyond what it shows: these functions run inside it. They lean on the browser's own
// statistics and sockets, not on the page's account of itself.

/** Runs before the page's own scripts: keeps its peer connections, counts SDP exchanges, notes signalling messages. */
export function install({ capture }) {
  // The page may make its connections in a frame of its own: they are kept with the page's.
  const lab = window.parent.lab ?? { connections: [], exchanges: 0, messages: [], marks: {} }
  Object.defineProperty(window, 'lab', { value: lab })
  lab.now = () => performance.timeOrigin + performance.now() // one clock for all pages of the machine

  /**
   * Notes when the first packet of a voice came. Where more have come since it was last looked, that is when the second one did, at the
   * latest: the first may have been sent before its turn, the others are 20 ms apart.
   */
  const heard = async connection => {
    while (!lab.marks.voice && connection.connectionState === 'connected') {
      for (const one of (await connection.getStats()).values()) {
        if (one.type !== 'inbound-rtp' || one.kind !== 'audio' || !one.packetsReceived) continue
        lab.marks.voice = one.lastPacketReceivedTimestamp - 20 * Math.max(0, one.packetsReceived - 2)
      }
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }

  const mark = name => (lab.marks[name] ??= lab.now()) // of the first join

  window.RTCPeerConnection = class extends window.RTCPeerConnection {
    constructor(...args) {
      super(...args)
      lab.connections.push(this)
      this.addEventListener('iceconnectionstatechange', () => /^(connected|completed)$/.test(this.iceConnectionState) && mark('ice'))
      this.addEventListener('connectionstatechange', () => this.connectionState === 'connected' && mark('dtls'))
      this.addEventListener('connectionstatechange', () => this.connectionState === 'connected' && heard(this))
      this.addEventListener('track', ({ track }) => track.kind === 'audio' && track.addEventListener('unmute', () => mark('audio')))
    }
    setLocalDescription(...args) {
      mark('describe')
      return super.setLocalDescription(...args).finally(() => mark('described'))
    }
    setRemoteDescription(...args) {
      lab.exchanges++
      mark('accept')
      return super.setRemoteDescription(...args).finally(() => mark('accepted'))
    }
  }
  window.WebSocket = class extends window.WebSocket {
    constructor(...args) {
      super(...args)
      mark('dial')
      this.addEventListener('open', () => mark('open'))
      this.addEventListener('message', event => {
        if (typeof event.data !== 'string') return
        const message = JSON.parse(event.data)
        lab.messages.push({ at: lab.now(), ...message })
        if (message.sdp_answer) mark('answer')
      })
    }
    send(...args) {
      mark('hello')
      return super.send(...args)
    }
  }

  // Smaller pictures than a real camera's, where the machine is to carry several browsers at once.
  if (!capture || !navigator.mediaDevices) return
  const original = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices)
  navigator.mediaDevices.getUserMedia = wish => {
    const video = wish.video ? { ...(wish.video === true ? {} : wish.video), ...capture } : wish.video
    return original({ ...wish, video })
  }
}

/** What arrives: a list of inbound streams with their counters, and the tiles that are shown. */
export async function sample() {
  const inbound = []
  for (const connection of window.lab.connections) {
    if (connection.connectionState === 'closed') continue
    for (const one of (await connection.getStats()).values()) {
      if (one.type !== 'inbound-rtp') continue
      inbound.push({
        kind: one.kind,
        mid: one.mid,
        track: one.trackIdentifier,
        packets: one.packetsReceived ?? 0,
        lost: one.packetsLost ?? 0,
        retransmitted: one.retransmittedPacketsReceived ?? 0,
        nacks: one.nackCount ?? 0,
        frames: one.framesDecoded ?? 0,
        dropped: one.framesDropped ?? 0,
        width: one.frameWidth ?? 0,
        height: one.frameHeight ?? 0,
        freezes: one.freezeCount ?? 0,
        frozen: one.totalFreezesDuration ?? 0,
        energy: one.totalAudioEnergy ?? 0,
        samples: one.totalSamplesReceived ?? 0,
        concealed: one.concealedSamples ?? 0,
        silent: one.silentConcealedSamples ?? 0,
      })
    }
  }
  const tiles = [...document.querySelectorAll('[data-testid=tile]')].map(tile => {
    const stream = tile.querySelector('video')?.srcObject
    const track = stream instanceof MediaStream ? stream.getVideoTracks()[0]?.id : undefined
    const { participant, self } = tile.dataset
    return { participant, self: self !== undefined && self !== 'false', track, inbound: inbound.find(one => one.track === track) }
  })
  return { at: window.lab.now(), inbound, tiles, own: window.parley?.self?.id }
}

/** The format in which the microphone is sent, and bytes a packet. */
export async function voiceFormat() {
  for (const connection of window.lab.connections) {
    for (const { sender } of connection.getTransceivers()) {
      if (sender.track?.kind !== 'audio') continue
      const sent = [...(await sender.getStats()).values()].find(one => one.type === 'outbound-rtp')
      return [sender.getParameters().codecs[0]?.mimeType, sent?.bytesSent / sent?.packetsSent]
    }
  }
}

/** SDP exchanges so far: as the page counts them and as the browser saw them. */
export function exchanges() {
  return { page: window.parley.sdpExchanges, browser: window.lab.exchanges }
}

/** Participants that the page's slots have ever carried. */
export function slotOwners() {
  const lists = window.lab.messages.flatMap(message => message.slots ?? [])
  return [...new Set(lists.map(slot => slot.participant_id).filter(Boolean))]
}

/** Clicks and tells when, on the clock that all pages share. */
export function click(testId) {
  const at = window.lab.now()
  document.querySelector(`[data-testid=${testId}]`).click()
  return at
}

/** When the page first had the participant's presence so, or undefined. */
export function presenceAt({ participant, key, value, after }) {
  const found = window.lab.messages.find(
    one => one.at >= after && one.type === 'room.presence_changed' && one.participant_id === participant && one[key] === value,
  )
  return found?.at
}

/** The steps of the join, in milliseconds: those of the plan (SPEC section 10), from the click on, and what it came to. */
export async function steps() {
  const { marks } = window.lab
  const origin = performance.timeOrigin
  const call = performance.getEntriesByType('resource').find(one => one.name.endsWith('/join'))
  const click = origin + call.startTime
  return {
    join: call.duration,
    socket: marks.open - marks.dial,
    answer: marks.answer - marks.hello,
    ice: marks.ice - marks.answer,
    dtls: marks.dtls - marks.ice,
    voice: marks.voice - click,
    audio: marks.audio - click,
  }
}

/** When each step of the first join was done, in milliseconds from the click on. */
export function timeline() {
  const call = performance.getEntriesByType('resource').find(one => one.name.endsWith('/join'))
  const click = performance.timeOrigin + call.startTime
  const ticket = performance.timeOrigin + call.responseEnd
  const marks = { ticket, ...window.lab.marks }
  const done = Object.entries(marks).map(([step, at]) => [step, at - click])
  return Object.fromEntries(done.sort(([, a], [, b]) => a - b))
}

/** The candidates that media goes between, by the browser's own statistics. */
export async function selectedPair() {
  for (const connection of window.lab.connections) {
    if (connection.connectionState !== 'connected') continue
    const reports = await connection.getStats()
    const transport = [...reports.values()].find(one => one.type === 'transport')
    const pair = reports.get(transport?.selectedCandidatePairId)
    if (!pair) continue
    const end = ({ candidateType, protocol, relayProtocol, address, port }) => ({ candidateType, protocol, relayProtocol, address, port })
    return { local: end(reports.get(pair.localCandidateId)), remote: end(reports.get(pair.remoteCandidateId)) }
  }
}

/** All pairs of candidates, a line each, with how many checks were sent and answered. */
export async function pairs() {
  const lines = []
  for (const connection of window.lab.connections) {
    const reports = await connection.getStats()
    const chosen = [...reports.values()].find(one => one.type === 'transport')?.selectedCandidatePairId
    const name = id => {
      const { candidateType, relayProtocol, protocol, address, port } = reports.get(id) ?? {}
      return `${candidateType} ${relayProtocol ?? protocol} ${address}:${port}`
    }
    for (const one of reports.values()) {
      if (one.type !== 'candidate-pair') continue
      const checks = `${one.requestsSent} sent, ${one.responsesReceived} answered`
      lines.push(`${one.id === chosen ? 'chosen' : one.state}: ${name(one.localCandidateId)} → ${name(one.remoteCandidateId)}, ${checks}`)
    }
  }
  return lines
}
