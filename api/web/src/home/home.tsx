import { ParleyError, Rest } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { meetingIn } from '../route.ts'
import { userToken } from '../secrets.ts'
import { Icon } from '../ui/icon.tsx'
import { Logo } from '../ui/logo.tsx'

/** The first page: start a meeting, or join one. */
export function Home(): JSX.Element {
  return (
    <div class="home">
      <header class="home-head">
        <Logo />
      </header>
      <main class="home-main">
        <section class="home-pitch">
          <h1>Talk face to face, on servers of your own.</h1>
          <p>Parley is a meeting in a browser tab: no account, no app, no third party.</p>
          <Start />
          <Enter />
          <p class="home-test">
            <a href="/test" data-testid="to-test">
              <Icon name="stats" size={16} /> Test your connection
            </a>
          </p>
        </section>
        <Scene />
      </main>
    </div>
  )
}

function Start(): JSX.Element {
  const token = userToken(sessionStorage)
  const [waitingRoom, setWaitingRoom] = useState(false)
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState('')
  if (!token) {
    return (
      <p class="home-hint">
        To start a meeting here, open the link with your user token. With an invitation, join below.
      </p>
    )
  }
  const start = async (): Promise<void> => {
    setBusy(true)
    setProblem('')
    try {
      const settings = { guests: true, waiting_room: waitingRoom }
      const meeting = await new Rest(location.origin, token).createMeeting('Meeting', settings)
      location.assign(`/m/${meeting.id}#host_key=${encodeURIComponent(meeting.host_key)}`)
    } catch (error) {
      setProblem(ParleyError.from(error).message)
      setBusy(false)
    }
  }
  return (
    <div class="home-start">
      <button type="button" class="primary large" data-testid="start" disabled={busy} onClick={start}>
        <Icon name="video" size={18} />
        {busy ? 'Starting…' : 'Start a meeting'}
      </button>
      <label class="check">
        <input type="checkbox" checked={waitingRoom} onChange={event => setWaitingRoom(event.currentTarget.checked)} />
        Let me admit everyone
      </label>
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
    </div>
  )
}

function Enter(): JSX.Element {
  const [text, setText] = useState('')
  const [wrong, setWrong] = useState(false)
  const go = (event: Event): void => {
    event.preventDefault()
    const id = meetingIn(text)
    setWrong(!id)
    if (!id) return
    const key = /#host_key=([^&\s]+)/.exec(text)?.[1]
    location.assign(`/m/${id}${key ? `#host_key=${key}` : ''}`)
  }
  return (
    <form class="home-enter" onSubmit={go}>
      <label class="field">
        <span class="unseen">Meeting link or code</span>
        <input
          type="text"
          data-testid="code"
          placeholder="Meeting link or code"
          autocomplete="off"
          spellcheck={false}
          value={text}
          onInput={event => setText(event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="secondary" data-testid="enter" disabled={text.trim() === ''}>
        Join
      </button>
      {wrong && (
        <p class="problem" role="alert">
          That is neither a meeting’s link nor its code.
        </p>
      )}
    </form>
  )
}

/** A still life of a meeting, drawn with nothing but shapes. */
function Scene(): JSX.Element {
  return (
    <div class="scene" aria-hidden="true">
      {['AM', 'JO', 'RK', 'LS'].map((initials, i) => (
        <div key={initials} class={`scene-tile hue-${(i * 3 + 1) % 8}${i === 1 ? ' speaking' : ''}`}>
          <span>{initials}</span>
          {i === 1 && (
            <i class="wave">
              <b />
              <b />
              <b />
              <b />
            </i>
          )}
          {i === 2 && (
            <em>
              <Icon name="hand" size={18} />
            </em>
          )}
        </div>
      ))}
    </div>
  )
}
