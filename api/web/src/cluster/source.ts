import { ParleyError } from '@parley-sfu/client'
import { useEffect, useState } from 'preact/hooks'
import { userToken } from '../secrets.ts'
import type { Cluster, LinkEnd, Node, RoomPart } from './figures.ts'

/** How often the page reads the cluster, in milliseconds. */
const every = 2_000
const timeout = 10_000

/** The last two readings of the cluster, and what went wrong with the last attempt. */
export interface Reading {
  now?: Cluster
  before?: Cluster
  problem?: ParleyError
}

/** Reads the cluster while the page is looked at. */
export function useCluster(): [Reading, (nodeId: string, drain: boolean) => Promise<void>] {
  const [reading, setReading] = useState<Reading>({})
  const read = async (): Promise<void> => {
    try {
      const now = await readCluster()
      setReading(({ now: before }) => (before ? { now, before } : { now }))
    } catch (error) {
      setReading(last => ({ ...last, problem: ParleyError.from(error) }))
    }
  }
  useEffect(() => {
    let timer: number | undefined
    let over = false
    const go = async (): Promise<void> => {
      if (!document.hidden) await read()
      if (!over) timer = setTimeout(go, every)
    }
    void go()
    return () => {
      over = true
      clearTimeout(timer)
    }
  }, [])
  const setDraining = async (nodeId: string, drain: boolean): Promise<void> => {
    await call('POST', `nodes/${encodeURIComponent(nodeId)}/${drain ? 'drain' : 'undrain'}`)
    await read()
  }
  return [reading, setDraining]
}

async function readCluster(): Promise<Cluster> {
  const [nodes, rooms, links] = await Promise.all([
    call<{ nodes: Node[] }>('GET', 'nodes'),
    call<{ rooms: RoomPart[]; silent: string[] }>('GET', 'rooms'),
    call<{ links: LinkEnd[]; silent: string[] }>('GET', 'links'),
  ])
  const silent = [...new Set([...rooms.silent, ...links.silent])].sort()
  return { at: performance.now(), nodes: nodes.nodes, rooms: rooms.rooms, links: links.links, silent }
}

async function call<T = void>(method: 'GET' | 'POST', path: string): Promise<T> {
  const token = userToken(sessionStorage)
  let response: Response
  try {
    response = await fetch(`/v1/cluster/${path}`, {
      method,
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      signal: AbortSignal.timeout(timeout),
    })
  } catch {
    throw new ParleyError('offline', 'The node does not answer.')
  }
  if (!response.ok) throw await ParleyError.of(response)
  return (response.status === 204 ? undefined : await response.json()) as T
}
