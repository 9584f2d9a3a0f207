import type { Participant } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { useEvents } from '../hooks.ts'
import { Avatar } from '../ui/avatar.tsx'
import { Icon } from '../ui/icon.tsx'
import { useMeeting } from './context.ts'
import { CopyLink } from './invitation.tsx'
import { Knock } from './lobby.tsx'
import { Panel } from './panel.tsx'

/** Everyone in the room, and for hosts everyone before it, with what a host may do. */
export function PeoplePanel({ meetingId, onClose }: { meetingId: string; onClose: () => void }): JSX.Element {
  const { client } = useMeeting()
  useEvents(client, 'participants', 'waiting', 'settings', 'speakers')
  const { participants, waiting, self, settings } = client.roster
  const host = self.role === 'host'
  const locked = settings?.locked ?? false
  return (
    <Panel title={`People (${participants.length})`} testId="people-panel" onClose={onClose}>
      <div class="people">
        {host && waiting.length > 0 && (
          <section class="people-lobby" aria-label="Lobby">
            <h3>In the lobby</h3>
            {waiting.map(one => (
              <Knock key={one.id} identity={one} />
            ))}
          </section>
        )}
        <ul>
          {sorted(participants, self.id).map(one => (
            <Person key={one.id} participant={one} host={host} />
          ))}
        </ul>
      </div>
      <footer class="people-foot">
        <CopyLink meetingId={meetingId} />
        {host && (
          <button
            type="button"
            class="secondary"
            data-testid="lock"
            aria-pressed={locked}
            onClick={() => ignore(client.lock(!locked))}
          >
            <Icon name={locked ? 'lock' : 'unlock'} size={18} />
            {locked ? 'Unlock room' : 'Lock room'}
          </button>
        )}
      </footer>
    </Panel>
  )
}

function Person({ participant, host }: { participant: Participant; host: boolean }): JSX.Element {
  const { client } = useMeeting()
  const isSelf = participant.id === client.self.id
  const muted = isSelf ? !client.local.microphoneOn : participant.audio_muted
  const dark = isSelf ? !client.local.cameraOn : participant.video_muted
  const raised = isSelf ? client.handRaised : participant.hand_raised
  return (
    <li class="person" data-testid={`person-${participant.id}`}>
      <Avatar id={participant.id} name={participant.display_name} small />
      <span class="person-name">
        {participant.display_name}
        <small>
          {[isSelf && 'you', participant.role !== 'attendee' && participant.role].filter(Boolean).join(', ')}
        </small>
      </span>
      {raised && <Mark icon="hand" label="hand raised" tone="raised" />}
      <Mark icon={dark ? 'cameraOff' : 'camera'} label={dark ? 'camera off' : 'camera on'} tone={dark ? 'off' : ''} />
      {host && !isSelf && !muted ? (
        <MuteButton participant={participant} />
      ) : (
        <Mark icon={muted ? 'micOff' : 'mic'} label={muted ? 'muted' : 'microphone on'} tone={muted ? 'off' : ''} />
      )}
      {host && !isSelf && <RemoveButton participant={participant} />}
    </li>
  )
}

function Mark(props: {
  icon: 'hand' | 'mic' | 'micOff' | 'camera' | 'cameraOff'
  label: string
  tone: string
}): JSX.Element {
  return (
    <span class={`mark ${props.tone && `mark-${props.tone}`}`} role="img" aria-label={props.label}>
      <Icon name={props.icon} size={17} />
    </span>
  )
}

/** A microphone that is on, for a host to mute. */
function MuteButton({ participant }: { participant: Participant }): JSX.Element {
  const { client } = useMeeting()
  const label = `Mute ${participant.display_name}`
  return (
    <button
      type="button"
      class="person-act"
      data-testid={`mute-${participant.id}`}
      title={label}
      aria-label={label}
      onClick={() => ignore(client.mute(participant.id))}
    >
      <Icon name="mic" size={17} />
    </button>
  )
}

/** Removes somebody at the second click. */
function RemoveButton({ participant }: { participant: Participant }): JSX.Element {
  const { client } = useMeeting()
  const [sure, setSure] = useState(false)
  const { id, display_name: name } = participant
  const label = sure ? `Really remove ${name}` : `Remove ${name}`
  return (
    <button
      type="button"
      class={sure ? 'small small-danger' : 'person-act'}
      data-testid={sure ? `remove-confirm-${id}` : `remove-${id}`}
      title={label}
      aria-label={label}
      onBlur={() => setSure(false)}
      onClick={() => (sure ? ignore(client.remove(id)) : setSure(true))}
    >
      {sure ? 'Remove?' : <Icon name="remove" size={17} />}
    </button>
  )
}

/** Oneself first, then raised hands, then by name. */
function sorted(participants: readonly Participant[], selfId: string): Participant[] {
  const rank = (one: Participant): number => (one.id === selfId ? 0 : one.hand_raised ? 1 : 2)
  return [...participants].sort((a, b) => rank(a) - rank(b) || a.display_name.localeCompare(b.display_name))
}

/** What fails here is told by the client's `problem` events or seen in the list itself. */
function ignore(promise: Promise<void>): void {
  promise.catch(() => undefined)
}
