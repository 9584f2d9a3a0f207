import type { Client } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { Preview } from '../prejoin/preview.tsx'
import { Logo } from '../ui/logo.tsx'

/** The lobby: one waits for the host. */
export function Waiting({ client, name }: { client: Client; name: string }): JSX.Element {
  const locked = client.waitingFor === 'locked'
  return (
    <div class="prejoin" data-testid="lobby">
      <header class="home-head">
        <Logo />
      </header>
      <main class="prejoin-main">
        <Preview client={client} name={name} />
        <section class="prejoin-form" aria-live="polite">
          <span class="pulse" aria-hidden="true" />
          <h1>{locked ? 'The room is locked' : 'You are in the lobby'}</h1>
          <p class="quiet">{locked ? 'The host has been told that you are here.' : 'The host will let you in soon.'}</p>
          <button type="button" class="secondary" data-testid="leave" onClick={() => client.leave()}>
            Leave
          </button>
        </section>
      </main>
    </div>
  )
}
