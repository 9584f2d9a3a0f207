import { type Identity, ParleyError } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { useEvents } from '../hooks.ts'
import { Avatar } from '../ui/avatar.tsx'
import { useMeeting } from './context.ts'

/** Somebody who knocks, to be let in or turned away. */
export function Knock({ identity }: { identity: Identity }): JSX.Element {
  const { client } = useMeeting()
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState('')
  const answer = (act: (id: string) => Promise<void>): void => {
    setBusy(true)
    act(identity.id).catch(error => {
      setBusy(false)
      setProblem(ParleyError.from(error).message)
    })
  }
  const { id, display_name: name } = identity
  return (
    <div class="knock">
      <Avatar id={id} name={name} small />
      <span class="knock-name">
        {name}
        {problem && <small role="alert">{problem}</small>}
      </span>
      <button
        type="button"
        class="small"
        data-testid={`deny-${id}`}
        aria-label={`Deny ${name}`}
        disabled={busy}
        onClick={() => answer(one => client.deny(one))}
      >
        Deny
      </button>
      <button
        type="button"
        class="small small-primary"
        data-testid={`admit-${id}`}
        aria-label={`Admit ${name}`}
        disabled={busy}
        onClick={() => answer(one => client.admit(one))}
      >
        Admit
      </button>
    </div>
  )
}

const shownAtOnce = 3

/** Tells a host who knocks, over the stage. */
export function KnockToast({ onMore }: { onMore: () => void }): JSX.Element | null {
  const { client } = useMeeting()
  useEvents(client, 'waiting', 'participants')
  const { waiting, self } = client.roster
  if (self.role !== 'host' || waiting.length === 0) return null
  const more = waiting.length - shownAtOnce
  return (
    <div class="knocks" role="alert" data-testid="knocks">
      <h3>{waiting.length === 1 ? 'Somebody wants to join' : `${waiting.length} people want to join`}</h3>
      {waiting.slice(0, shownAtOnce).map(one => (
        <Knock key={one.id} identity={one} />
      ))}
      {more > 0 && (
        <button type="button" class="plain knocks-more" onClick={onMore}>
          and {more} more
        </button>
      )}
    </div>
  )
}
