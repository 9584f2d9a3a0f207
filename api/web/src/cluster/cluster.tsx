import { ParleyError } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { userToken } from '../secrets.ts'
import { Logo } from '../ui/logo.tsx'
import { amount, type Cluster, type Node, rate, regionsOf, roomsOf, waysOf } from './figures.ts'
import { type Reading, useCluster } from './source.ts'

/** The operator's page: regions, nodes, rooms and links, as they are now. */
export function ClusterPage(): JSX.Element {
  const [reading, setDraining] = useCluster()
  return <ClusterView reading={reading} onDrain={setDraining} />
}

/** What the page shows of a reading. */
export interface ClusterViewProps {
  reading: Reading
  onDrain: (nodeId: string, drain: boolean) => Promise<void>
}

export function ClusterView({ reading, onDrain }: ClusterViewProps): JSX.Element {
  const { now, before, problem } = reading
  return (
    <div class="cluster">
      <header class="home-head cluster-head">
        <a href="/" aria-label="Parley, to the start">
          <Logo />
        </a>
        <h1>Cluster</h1>
        {now && <Sum cluster={now} />}
      </header>
      <main class="cluster-main">
        {problem && <Trouble problem={problem} stale={now !== undefined} />}
        {now && now.silent.length > 0 && (
          <p class="problem" role="status">
            No answer from {now.silent.join(', ')}: their rooms and links are missing below.
          </p>
        )}
        {now && (
          <>
            <Regions cluster={now} onDrain={onDrain} />
            <Rooms cluster={now} />
            <Links now={now} {...(before ? { before } : {})} />
          </>
        )}
      </main>
    </div>
  )
}

function Sum({ cluster }: { cluster: Cluster }): JSX.Element {
  const people = cluster.nodes.reduce((sum, node) => sum + node.load.participants, 0)
  const rooms = roomsOf(cluster.rooms).length
  return (
    <p class="cluster-sum" data-testid="sum">
      <span class="live" aria-hidden="true" />
      {count(cluster.nodes.length, 'node')}, {count(rooms, 'room')}, {count(people, 'participant')}
    </p>
  )
}

function Trouble({ problem, stale }: { problem: ParleyError; stale: boolean }): JSX.Element {
  const mayNot = problem.status === 401 || problem.status === 403
  return (
    <p class="problem" role="alert">
      {stale && 'What follows may be out of date. '}
      {mayNot && !userToken(sessionStorage)
        ? 'This page needs a user token with the right cluster:read. Open it as /cluster#token=…'
        : problem.message}
    </p>
  )
}

function Regions({ cluster, onDrain }: { cluster: Cluster; onDrain: ClusterViewProps['onDrain'] }): JSX.Element {
  return (
    <div class="regions">
      {regionsOf(cluster.nodes).map(region => (
        <section key={region.name} class="region" data-testid="region">
          <h2>
            {region.name} <small>{count(region.participants, 'participant')}</small>
          </h2>
          {region.nodes.map(node => (
            <NodeCard key={node.id} node={node} onDrain={onDrain} />
          ))}
        </section>
      ))}
    </div>
  )
}

function NodeCard({ node, onDrain }: { node: Node; onDrain: ClusterViewProps['onDrain'] }): JSX.Element {
  const [busy, setBusy] = useState(false)
  const [wrong, setWrong] = useState('')
  const change = async (): Promise<void> => {
    setBusy(true)
    setWrong('')
    await onDrain(node.id, !node.draining).catch(error => setWrong(ParleyError.from(error).message))
    setBusy(false)
  }
  const { load } = node
  return (
    <article class={node.draining ? 'node node-draining' : 'node'} data-testid="node">
      <header>
        <h3 title={node.sfu_endpoint}>{node.id}</h3>
        <span class={node.draining ? 'tag tag-amber' : 'tag'}>{node.draining ? 'draining' : 'serving'}</span>
        <button type="button" class="plain small" disabled={busy} onClick={change}>
          {node.draining ? 'Undrain' : 'Drain'}
        </button>
      </header>
      <meter aria-label={`CPU of ${node.id}`} min={0} max={1} low={0.7} high={0.85} optimum={0} value={load.cpu} />
      <dl>
        <Fact name="CPU" value={`${Math.round(load.cpu * 100)} %`} />
        <Fact name="Participants" value={String(load.participants)} />
        <Fact name="Media" value={rate(load.bits_per_second)} />
        <Fact name="Packets" value={`${Math.round(load.packets_per_second)}/s`} />
      </dl>
      <p class="node-foot">
        {[node.version, node.roles.join(', '), node.self && 'answers this page'].filter(Boolean).join(' · ')}
      </p>
      {wrong && (
        <p class="problem" role="alert">
          {wrong}
        </p>
      )}
    </article>
  )
}

function Fact({ name, value }: { name: string; value: string }): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}

function Rooms({ cluster }: { cluster: Cluster }): JSX.Element {
  const rooms = roomsOf(cluster.rooms)
  return (
    <section class="cluster-table">
      <h2>Rooms</h2>
      {rooms.length === 0 ? (
        <p class="quiet">Nobody is in a meeting.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th>Meeting</th>
              <th class="number">Participants</th>
              <th>On</th>
            </tr>
          </thead>
          <tbody>
            {rooms.map(room => (
              <tr key={room.id} data-testid="room">
                <td class="code">{room.id}</td>
                <td class="number">{room.participants}</td>
                <td>
                  {room.parts.map(part => (
                    <span
                      key={part.node}
                      class={part.home ? 'tag tag-mint' : 'tag'}
                      title={part.home ? 'The room’s home' : ''}
                    >
                      {part.node} <b>{part.participants}</b>
                    </span>
                  ))}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  )
}

function Links({ now, before }: { now: Cluster; before?: Cluster }): JSX.Element {
  const ways = waysOf(now, before)
  return (
    <section class="cluster-table">
      <h2>Links</h2>
      {ways.length === 0 ? (
        <p class="quiet">No media goes between nodes.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th>From</th>
              <th>To</th>
              <th>State</th>
              <th class="number">Now</th>
              <th class="number">In all</th>
            </tr>
          </thead>
          <tbody>
            {ways.map(way => (
              <tr key={`${way.from} ${way.to}`} data-testid="link">
                <td>{way.from}</td>
                <td>{way.to}</td>
                <td>
                  <span class={way.up ? 'tag tag-mint' : 'tag tag-red'}>{way.up ? 'up' : 'down'}</span>
                </td>
                <td class="number">{rate(way.bitsPerSecond)}</td>
                <td class="number">{amount(way.bytes)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  )
}

function count(number: number, of: string): string {
  return `${number} ${of}${number === 1 ? '' : 's'}`
}
