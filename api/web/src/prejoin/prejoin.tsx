import type { Client } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { useEvents, useLasting } from '../hooks.ts'
import { DeviceChoice } from '../ui/devices.tsx'
import { Logo } from '../ui/logo.tsx'
import { Preview } from './preview.tsx'

/** A join that takes no longer, in milliseconds, is not drawn: drawing would hold it up. */
const quick = 250

/** What the page before the meeting is given. */
export interface PrejoinProps {
  client: Client
  name: string
  host: boolean
  onName: (name: string) => void
  onJoin: () => void
}

/** The page before the meeting: how one looks and sounds, under which name. */
export function Prejoin({ client, name, host, onName, onJoin }: PrejoinProps): JSX.Element {
  useEvents(client, 'state')
  const { local } = client
  useEffect(() => {
    // Both at once, but apart: a machine without a camera still has its microphone.
    if (!local.microphone) void local.setMicrophoneOn(true)
    if (!local.camera) void local.openCamera(localStorage.getItem('parley.camera') ?? undefined)
  }, [local])
  useEffect(() => client.prepare(), [client])
  const joining = client.state === 'joining'
  const busy = useLasting(joining, quick)
  const submit = (event: Event): void => {
    event.preventDefault()
    if (!joining && name.trim() !== '') onJoin()
  }
  return (
    <div class="prejoin">
      <header class="home-head">
        <a href="/" aria-label="Parley, to the start">
          <Logo />
        </a>
      </header>
      <main class="prejoin-main">
        <Preview client={client} name={name} />
        <form class="prejoin-form" onSubmit={submit}>
          <h1>{host ? 'Your meeting is ready' : 'Ready to join?'}</h1>
          <label class="field">
            <span>Your name</span>
            <input
              type="text"
              data-testid="name"
              value={name}
              maxLength={64}
              autocomplete="name"
              placeholder="As others will see it"
              onInput={event => onName(event.currentTarget.value)}
            />
          </label>
          <DeviceChoice local={local} />
          <button type="submit" class="primary large" data-testid="join" disabled={busy || name.trim() === ''}>
            {busy ? 'Joining…' : host ? 'Start' : 'Join'}
          </button>
        </form>
      </main>
    </div>
  )
}
