/** A node, as GET /v1/cluster/nodes has it. */
export interface Node {
  id: string
  region: string
  sfu_endpoint: string
  roles: string[]
  version: string
  draining: boolean
  load: { cpu: number; packets_per_second: number; bits_per_second: number; participants: number }
  self: boolean
}

/** The part of a room on one node, as GET /v1/cluster/rooms has it. */
export interface RoomPart {
  meeting_id: string
  node: string
  participants: number
  home: boolean
}

/** One node's side of a link, as GET /v1/cluster/links has it. */
export interface LinkEnd {
  node: string
  peer: string
  up: boolean
  sent_bytes: number
  received_bytes: number
}

/** The whole cluster at one moment. */
export interface Cluster {
  /** When it was read, in milliseconds. */
  at: number
  nodes: Node[]
  rooms: RoomPart[]
  links: LinkEnd[]
  /** Nodes that live and did not answer. */
  silent: string[]
}

/** The nodes of one place. */
export interface Region {
  name: string
  nodes: Node[]
  participants: number
}

/** A room with its parts, the largest first. */
export interface Room {
  id: string
  participants: number
  parts: RoomPart[]
}

/** What goes one way between two nodes. */
export interface Way {
  from: string
  to: string
  up: boolean
  /** Since the reading before; nothing at the first. */
  bitsPerSecond?: number
  bytes: number
}

/** Groups nodes by region; both by name. */
export function regionsOf(nodes: readonly Node[]): Region[] {
  const byName = new Map<string, Region>()
  for (const node of [...nodes].sort((a, b) => a.id.localeCompare(b.id))) {
    const region = byName.get(node.region) ?? { name: node.region, nodes: [], participants: 0 }
    region.nodes.push(node)
    region.participants += node.load.participants
    byName.set(node.region, region)
  }
  return [...byName.values()].sort((a, b) => a.name.localeCompare(b.name))
}

/** Puts the parts of each room together; the largest rooms come first. */
export function roomsOf(parts: readonly RoomPart[]): Room[] {
  const byId = new Map<string, Room>()
  for (const part of parts) {
    const room = byId.get(part.meeting_id) ?? { id: part.meeting_id, participants: 0, parts: [] }
    room.parts.push(part)
    room.participants += part.participants
    byId.set(part.meeting_id, room)
  }
  const rooms = [...byId.values()].sort((a, b) => b.participants - a.participants || a.id.localeCompare(b.id))
  for (const room of rooms) {
    room.parts.sort((a, b) => b.participants - a.participants || a.node.localeCompare(b.node))
  }
  return rooms
}

/** What each end of each link sends, with rates since an earlier reading. A counter that fell began anew. */
export function waysOf(now: Cluster, before?: Cluster): Way[] {
  const seconds = before ? (now.at - before.at) / 1000 : 0
  const earlier = new Map(before?.links.map(end => [`${end.node} ${end.peer}`, end.sent_bytes]))
  return now.links
    .map(end => {
      const way: Way = { from: end.node, to: end.peer, up: end.up, bytes: end.sent_bytes }
      const was = earlier.get(`${end.node} ${end.peer}`)
      if (was !== undefined && seconds > 0 && end.sent_bytes >= was) {
        way.bitsPerSecond = ((end.sent_bytes - was) * 8) / seconds
      }
      return way
    })
    .sort((a, b) => a.from.localeCompare(b.from) || a.to.localeCompare(b.to))
}

/** A rate for people. */
export function rate(bitsPerSecond: number | undefined): string {
  if (bitsPerSecond === undefined) return '–'
  return bitsPerSecond < 995_000
    ? `${Math.round(bitsPerSecond / 1e3)} kbit/s`
    : `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s`
}

/** An amount for people. */
export function amount(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`
}
