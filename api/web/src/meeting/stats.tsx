import type { Client, Downlink, InboundStats, OutboundStats, Slot, StatsDigest } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { useMeeting } from './context.ts'
import { Health, type Trouble } from './health.ts'
import { Panel } from './panel.tsx'
import { explain, limitOf } from './reason.ts'

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
        {client.roster.downlink && <DownlinkFigures downlink={client.roster.downlink} />}
        <Curve values={history.map(digest => total(digest.inbound))} />
        <p class="quiet stats-path">{latest?.path || 'no media path'}</p>
        <Troubles names={props.names} />
        <h3>Received</h3>
        {latest && <Received inbound={latest.inbound} slots={client.roster.slots} names={props.names} />}
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

/** What the server knew of the way to this page when it last told of slots. */
function DownlinkFigures({ downlink }: { downlink: Downlink }): JSX.Element {
  return (
    <div data-testid="downlink">
      <dl class="stats-head">
        <Figure label="Downlink carries" value={bits(downlink.estimate)} />
        <Figure label="Given of what is wanted" value={`${bits(downlink.allocated)} of ${bits(downlink.wanted)}`} />
      </dl>
      <p class="quiet stats-path">
        {limitOf(downlink)}; {Math.round(downlink.queue_ms)} ms in its queue, {(downlink.lost * 100).toFixed(1)} % lost
      </p>
    </div>
  )
}

/** What each slot carries that has something to carry, paused ones included. */
function Received(props: {
  inbound: readonly InboundStats[]
  slots: readonly Slot[]
  names: ReadonlyMap<string, string>
}): JSX.Element {
  const carried = props.slots.filter(slot => slot.track_id)
  if (carried.length === 0) return <p class="quiet">Nothing is received.</p>
  const inbound = new Map(props.inbound.map(one => [one.mid, one]))
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
        {carried.map(slot => (
          <ReceivedRow
            key={slot.mid}
            slot={slot}
            one={inbound.get(slot.mid)}
            name={props.names.get(slot.participant_id ?? '') ?? '–'}
          />
        ))}
      </tbody>
    </table>
  )
}

function ReceivedRow({ slot, one, name }: { slot: Slot; one?: InboundStats | undefined; name: string }): JSX.Element {
  const why = explain(slot)
  const active = slot.state === 'active'
  return (
    <tr class={active ? '' : 'stats-idle'} data-testid={`received-${slot.mid}`}>
      <th scope="row">
        {name}
        <small>
          {slot.source?.replace('_', ' ')} {one?.codec}
        </small>
        {why && <small class="stats-why">{why}</small>}
      </th>
      <td>
        {slot.kind === 'audio' ? '♪' : active && one && one.width > 0 ? `${one.width}×${one.height}` : '–'}
        {slot.kind === 'video' && active && (
          <small>{[slot.layer && `layer ${slot.layer}`, `${one?.fps ?? 0} fps`].filter(Boolean).join(', ')}</small>
        )}
        {one && one.freezes > 0 && (
          <small>
            {one.freezes} {one.freezes === 1 ? 'freeze' : 'freezes'}, {one.freezeSeconds.toFixed(1)} s
          </small>
        )}
      </td>
      <td>
        {active && one ? bits(one.bitrate) : slot.state}
        {active && one && <small>{one.jitterMs} ms jitter</small>}
      </td>
      <td class={one && one.loss > 0.02 ? 'stats-bad' : ''}>
        {active && one ? `${(one.loss * 100).toFixed(1)} %` : '–'}
      </td>
    </tr>
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
