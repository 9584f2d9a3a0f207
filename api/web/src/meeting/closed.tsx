import type { Client, CloseReason } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { Logo } from '../ui/logo.tsx'

/** What to say about each end, and whether one may come back. */
const words: Record<CloseReason, { title: string; text: string; again: boolean }> = {
  left: { title: 'You left the meeting', text: 'It may still be going on.', again: true },
  ended: { title: 'The meeting has ended', text: 'The host ended it for everyone.', again: false },
  removed: { title: 'You were removed', text: 'The host removed you from the meeting.', again: false },
  denied: { title: 'You were not let in', text: 'The host did not admit you to the meeting.', again: false },
  full: { title: 'The meeting is full', text: 'Try again when somebody has left.', again: true },
  refused: { title: 'The door did not open', text: 'The server did not accept this join. Try again.', again: true },
  replaced: { title: 'You joined elsewhere', text: 'This session goes on in another window.', again: true },
  lost: { title: 'The connection is lost', text: 'The server could not be reached for two minutes.', again: true },
  failed: { title: 'That did not work', text: 'The meeting could not be joined.', again: true },
}

/** The ends that the connection may be to blame for. */
const broken: readonly CloseReason[] = ['lost', 'failed', 'refused']

/** After the meeting. */
export function Closed(props: { client: Client; meetingId: string; onBack: () => void }): JSX.Element {
  const { client } = props
  const reason = client.reason ?? 'left'
  const { title, text, again } = words[reason]
  useEffect(() => client.local.close(), [client])
  return (
    <div class="closed" data-testid="closed" data-reason={reason}>
      <header class="home-head">
        <Logo />
      </header>
      <main class="notice">
        <h1>{title}</h1>
        <p role="status">{client.error?.message ?? text}</p>
        <div class="row">
          {again && (
            <button type="button" class="primary" data-testid="rejoin" onClick={props.onBack}>
              Join again
            </button>
          )}
          {broken.includes(reason) && (
            <a class="secondary" href={`/test?meeting=${encodeURIComponent(props.meetingId)}`} data-testid="to-test">
              Test the connection
            </a>
          )}
          <a class="secondary" href="/">
            To the start
          </a>
        </div>
      </main>
    </div>
  )
}
