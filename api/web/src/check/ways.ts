import type { JoinTicket } from '@parley-sfu/client'

/** A way that media can take. */
export interface Way {
  /** As in the ids of checks. */
  id: 'udp' | 'tcp' | 'relay_udp' | 'relay_tcp' | 'relay_tls'
  name: string
  relay?: 'UDP' | 'TCP' | 'TLS'
}

export const ways: readonly Way[] = [
  { id: 'udp', name: 'UDP' },
  { id: 'tcp', name: 'TCP' },
  { id: 'relay_udp', name: 'relay over UDP', relay: 'UDP' },
  { id: 'relay_tcp', name: 'relay over TCP', relay: 'TCP' },
  { id: 'relay_tls', name: 'relay over TLS', relay: 'TLS' },
]

/** The servers of a ticket that are reached one way. */
export function serversOf(ticket: JoinTicket, relay: 'UDP' | 'TCP' | 'TLS'): RTCIceServer[] {
  const wayOf = (url: string): string => {
    if (url.startsWith('turns:') || url.startsWith('stuns:')) return 'TLS'
    return /[?&]transport=tcp/.test(url) ? 'TCP' : 'UDP'
  }
  return (ticket.ice_servers ?? []).flatMap(server => {
    const urls = [server.urls].flat().filter(url => wayOf(url) === relay)
    return urls.length > 0 ? [{ ...server, urls }] : []
  })
}

/** An answer with the candidates of one protocol alone. */
export function only(sdp: string, protocol: 'udp' | 'tcp' | undefined): string {
  if (!protocol) return sdp
  const wanted = (line: string): boolean =>
    !line.startsWith('a=candidate:') || line.split(' ')[2]?.toLowerCase() === protocol
  return sdp.split('\r\n').filter(wanted).join('\r\n')
}
