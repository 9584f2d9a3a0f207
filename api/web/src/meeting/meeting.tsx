import { type Client, ParleyError } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { useEvents, useKept, useReaction } from '../hooks.ts'
import { toggleCamera } from '../prejoin/preview.tsx'
import { DeviceChoice } from '../ui/devices.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { Icon } from '../ui/icon.tsx'
import { Sound } from './audio.tsx'
import { ChatPanel } from './chat.tsx'
import { Context, useMeeting } from './context.ts'
import { Controls, type Side } from './controls.tsx'
import { KnockToast } from './lobby.tsx'
import { Banner, Notes, useAnnouncements } from './notices.tsx'
import { PeoplePanel } from './people.tsx'
import { usePushToTalk, useShortcuts } from './shortcuts.ts'
import { type Layout, Stage } from './stage.tsx'
import { StatsPanel, useTroubles } from './stats.tsx'
import { Views } from './views.ts'

/** The meeting itself. */
export function Meeting({ client, meetingId }: { client: Client; meetingId: string }): JSX.Element {
  const views = useMemo(() => new Views(wanted => client.show(wanted)), [client])
  const troubles = useTroubles(client)
  const context = useMemo(() => ({ client, views, troubles }), [client, views, troubles])
  return (
    <Context.Provider value={context}>
      <Screen meetingId={meetingId} />
    </Context.Provider>
  )
}

type Window = 'devices' | 'help' | 'end' | undefined

function Screen({ meetingId }: { meetingId: string }): JSX.Element {
  const { client } = useMeeting()
  useEvents(client, 'participants', 'waiting', 'settings')
  useAnnouncements()
  const [side, setSide] = useState<Side>()
  const [layout, setLayout] = useState<Layout>('grid')
  const [open, setOpen] = useState<Window>()
  const [problem, setProblem] = useState('')
  const [speaker, setSpeaker] = useKept('speaker', '')
  const unread = useUnread(side === 'chat')
  const names = useNames()
  const toggle = (wanted: Side): void => setSide(side === wanted ? undefined : wanted)
  useMeetingKeys(
    toggle,
    () => setLayout(layout === 'grid' ? 'speaker' : 'grid'),
    () => setOpen('help'),
  )
  const close = (): void => setOpen(undefined)
  return (
    <div class={`meeting${side ? ' meeting-sided' : ''}`}>
      <TopBar meetingId={meetingId} onLobby={() => setSide('people')} onHelp={() => setOpen('help')} />
      <main class="stage">
        <Banner meetingId={meetingId} />
        <Stage layout={layout} meetingId={meetingId} onLayout={setLayout} />
        {side !== 'people' && <KnockToast onMore={() => setSide('people')} />}
        <Notes />
        <Sound speaker={speaker} />
      </main>
      {side === 'chat' && <ChatPanel names={names} onClose={() => setSide(undefined)} />}
      {side === 'people' && <PeoplePanel meetingId={meetingId} onClose={() => setSide(undefined)} />}
      {side === 'stats' && <StatsPanel names={names} onClose={() => setSide(undefined)} />}
      <Controls
        side={side}
        layout={layout}
        unread={unread}
        onSide={setSide}
        onLayout={setLayout}
        onDevices={() => setOpen('devices')}
        onEnd={() => setOpen('end')}
        onProblem={error => setProblem(error.message)}
      />
      {open === 'devices' && (
        <Dialog title="Devices" onClose={close}>
          <DeviceChoice local={client.local} onSpeaker={setSpeaker} />
        </Dialog>
      )}
      {open === 'help' && <Help onClose={close} />}
      {open === 'end' && <End onClose={close} />}
      {problem && (
        <Dialog title="That did not work" onClose={() => setProblem('')}>
          <p>{problem}</p>
        </Dialog>
      )}
    </div>
  )
}

function TopBar(props: { meetingId: string; onLobby: () => void; onHelp: () => void }): JSX.Element {
  const { client } = useMeeting()
  const { waiting, settings, self, participants } = client.roster
  return (
    <header class="topbar">
      <img src="/icon.svg" alt="" width="24" height="24" />
      <span class={client.title ? 'topbar-title' : 'topbar-code'}>{client.title || props.meetingId}</span>
      {settings?.locked && (
        <span class="chip">
          <Icon name="lock" size={14} /> locked
        </span>
      )}
      <span class="topbar-space" />
      {self.role === 'host' && waiting.length > 0 && (
        <button type="button" class="chip chip-warm" data-testid="lobby" onClick={props.onLobby}>
          {waiting.length} in the lobby
        </button>
      )}
      <span class="chip" role="img" aria-label={`${participants.length} in the meeting`}>
        <Icon name="people" size={14} /> {participants.length}
      </span>
      <button type="button" class="plain topbar-help" aria-label="Keyboard shortcuts" onClick={props.onHelp}>
        <Icon name="help" size={18} />
      </button>
    </header>
  )
}

const keys: readonly (readonly [string, string])[] = [
  ['M', 'Mute or unmute'],
  ['Space', 'Hold to talk while muted'],
  ['V', 'Camera on or off'],
  ['H', 'Raise or lower the hand'],
  ['S', 'Share the screen, or stop'],
  ['L', 'Grid or speaker view'],
  ['C', 'Chat'],
  ['P', 'People'],
  ['I', 'Statistics'],
  ['?', 'This list'],
]

function Help({ onClose }: { onClose: () => void }): JSX.Element {
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose}>
      <dl class="keys">
        {keys.map(([key, does]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  )
}

function End({ onClose }: { onClose: () => void }): JSX.Element {
  const { client } = useMeeting()
  const [problem, setProblem] = useState('')
  const end = (): void => {
    client.end().catch(error => setProblem(ParleyError.from(error).message))
  }
  return (
    <Dialog title="End the meeting for everyone?" onClose={onClose}>
      <p class="quiet">Everybody is disconnected, and nobody can come back.</p>
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      <div class="row">
        <button type="button" class="secondary" onClick={onClose}>
          Keep talking
        </button>
        <button type="button" class="primary primary-danger" data-testid="end-confirm" onClick={end}>
          End meeting
        </button>
      </div>
    </Dialog>
  )
}

function useMeetingKeys(toggle: (side: Side) => void, onLayout: () => void, onHelp: () => void): void {
  const { client } = useMeeting()
  const { local } = client
  const publishes = client.self.role !== 'viewer'
  const setMicrophone = (on: boolean): void => void (publishes && local.setMicrophoneOn(on))
  useShortcuts({
    m: () => setMicrophone(!local.microphoneOn),
    v: () => publishes && toggleCamera(local),
    h: () => client.raiseHand(!client.handRaised),
    s: () => (local.screenOn ? local.closeScreen() : void (publishes && client.shareScreen().catch(() => undefined))),
    l: onLayout,
    c: () => toggle('chat'),
    p: () => toggle('people'),
    i: () => toggle('stats'),
    '?': onHelp,
    Escape: () => toggle(undefined),
  })
  usePushToTalk(
    () => publishes && !local.microphoneOn,
    muted => setMicrophone(!muted),
  )
}

/** Counts what others wrote while the chat was closed. */
function useUnread(reading: boolean): number {
  const { client } = useMeeting()
  const [unread, setUnread] = useState(0)
  useReaction(client, 'chat', message => {
    if (!reading && message.from !== client.self.id) setUnread(count => count + 1)
  })
  useEffect(() => {
    if (reading) setUnread(0)
  }, [reading])
  return unread
}

/** The names of all who were ever seen: a message outlives its writer's presence. */
function useNames(): ReadonlyMap<string, string> {
  const { client } = useMeeting()
  const names = useRef(new Map<string, string>())
  for (const one of client.roster.participants) names.current.set(one.id, one.display_name)
  return names.current
}
