import type { Client, InboundStats, OutboundStats, StatsDigest } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { useMeeting } from './context.ts'
import { Health, type Trouble } from './health.ts'
import { Panel } from './panel.tsx'

const interval = 1_000
const kept = 60
const lookEvery = 2_000

/** The connection in numbers, renewed each second while it is open. */
export function StatsPanel(props: { names: ReadonlyMap<string, string>; onClose: () => void }): JSX.Element {
  const { client } = useMeeting()
  const history = useDigests()
  const latest = history.at(-1)
  return (
    <Panel title="Statistics" testId="stats-panel" onClose={props.onClose}>
      <div class="stats">
        <dl class="stats-head">
          <Figure label="Round trip" value={latest ? `${latest.rttMs} ms` : '–'} />
          <Figure label="Receiving" value={bits(total(latest?.inbound))} />
          <Figure label="Sending" value={bits(total(latest?.outbound))} />
          <Figure label="SDP offers" value={String(client.sdpExchanges)} />
        </dl>
        <Curve values={history.map(digest => total(digest.inbound))} />
        <p class="quiet stats-path">{latest?.path || 'no media path'}</p>
        <Troubles names={props.names} />
        <h3>Received</h3>
        {latest && <Received inbound={latest.inbound.filter(one => one.slot?.track_id)} names={props.names} />}
        <h3>Sent</h3>
        {latest && <Sent outbound={latest.outbound} />}
      </div>
    </Panel>
  )
}

/** What does not arrive, and why. */
function Troubles({ names }: { names: ReadonlyMap<string, string> }): JSX.Element | null {
  const { troubles } = useMeeting()
  if (troubles.length === 0) return null
  return (
    <ul class="stats-troubles" role="status" data-testid="troubles">
      {troubles.map(one => (
        <li key={`${one.participantId} ${one.kind}`}>
          <b>{names.get(one.participantId) ?? one.participantId}</b> {one.cause}
        </li>
      ))}
    </ul>
  )
}

/** Looks every other second for what does not arrive of others. */
export function useTroubles(client: Client): readonly Trouble[] {
  const [troubles, setTroubles] = useState<readonly Trouble[]>([])
  useEffect(() => {
    const health = new Health()
    const look = async (): Promise<void> => {
      const digest = await client.stats()
      if (!digest) return
      const found = health.look(digest, id => client.roster.tracks.find(track => track.id === id))
      setTroubles(before => (JSON.stringify(before) === JSON.stringify(found) ? before : found))
    }
    const timer = setInterval(() => void look().catch(() => undefined), lookEvery)
    return () => clearInterval(timer)
  }, [client])
  return troubles
}

function useDigests(): readonly StatsDigest[] {
  const { client } = useMeeting()
  const [history, setHistory] = useState<readonly StatsDigest[]>([])
  useEffect(() => {
    let live = true
    const measure = async (): Promise<void> => {
      const digest = await client.stats()
      if (live && digest) setHistory(before => [...before, digest].slice(-kept))
    }
    void measure()
    const timer = setInterval(() => void measure(), interval)
    return () => {
      live = false
      clearInterval(timer)
    }
  }, [client])
  return history
}

function Figure({ label, value }: { label: string; value: string }): JSX.Element {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{value}</dd>
    </div>
  )
}

/** The last minute as a line. */
function Curve({ values }: { values: readonly number[] }): JSX.Element {
  const top = Math.max(...values, 100_000)
  const points = values.map((value, i) => `${i + kept - values.length},${(38 - (value / top) * 36).toFixed(1)}`)
  return (
    <svg
      class="curve"
      viewBox={`0 0 ${kept - 1} 40`}
      preserveAspectRatio="none"
      role="img"
      aria-label="Bits received in the last minute"
    >
      <polyline points={points.join(' ')} />
    </svg>
  )
}

function Received(props: { inbound: readonly InboundStats[]; names: ReadonlyMap<string, string> }): JSX.Element {
  if (props.inbound.length === 0) return <p class="quiet">Nothing is received.</p>
  return (
    <table class="stats-table">
      <thead>
        <tr>
          <th>From</th>
          <th>Picture</th>
          <th>Rate</th>
          <th>Loss</th>
        </tr>
      </thead>
      <tbody>
        {props.inbound.map(one => (
          <tr key={one.mid}>
            <th scope="row">
              {props.names.get(one.slot?.participant_id ?? '') ?? '–'}
              <small>
                {one.slot?.source?.replace('_', ' ')} {one.codec} {one.slot?.layer}
              </small>
            </th>
            <td>
              {one.kind === 'video' ? `${one.width}×${one.height}` : '♪'}
              <small>{one.kind === 'video' ? `${one.fps} fps, ${one.freezes} freezes` : ''}</small>
            </td>
            <td>
              {bits(one.bitrate)}
              <small>{one.jitterMs} ms jitter</small>
            </td>
            <td class={one.loss > 0.02 ? 'stats-bad' : ''}>{(one.loss * 100).toFixed(1)} %</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function Sent({ outbound }: { outbound: readonly OutboundStats[] }): JSX.Element {
  if (outbound.length === 0) return <p class="quiet">Nothing is sent.</p>
  return (
    <table class="stats-table">
      <thead>
        <tr>
          <th>Layer</th>
          <th>Picture</th>
          <th>Rate</th>
          <th>Limit</th>
        </tr>
      </thead>
      <tbody>
        {outbound.map(one => (
          <tr key={`${one.source} ${one.rid}`} class={one.active ? '' : 'stats-idle'}>
            <th scope="row">
              {one.source.replace('_', ' ')} {one.rid}
              <small>{one.codec}</small>
            </th>
            <td>
              {one.width > 0 ? `${one.width}×${one.height}` : '–'}
              <small>{one.width > 0 ? `${one.fps} fps` : ''}</small>
            </td>
            <td>{one.active ? bits(one.bitrate) : 'paused'}</td>
            <td>{one.limitation}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function total(rates: readonly { bitrate: number }[] | undefined): number {
  return (rates ?? []).reduce((sum, one) => sum + one.bitrate, 0)
}

function bits(rate: number): string {
  return rate >= 1e6 ? `${(rate / 1e6).toFixed(1)} Mbit/s` : `${Math.round(rate / 1e3)} kbit/s`
}
