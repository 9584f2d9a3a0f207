import type { Participant } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { useSize } from '../hooks.ts'
import { useCameraStream } from '../prejoin/preview.tsx'
import { Avatar } from '../ui/avatar.tsx'
import { Icon } from '../ui/icon.tsx'
import { Picture } from '../ui/picture.tsx'
import { useMeeting } from './context.ts'
import { pixels, type Size } from './layout.ts'

const screenPriority = 100

/** What a tile shows and where it lies. */
export interface TileProps {
  participant: Participant
  /** In CSS pixels; without it the style sheet decides. */
  size?: Size
  speaking: boolean
  pinned: boolean
  onPin: (() => void) | undefined
  /** Larger and more important pictures are served first. */
  priority: number
}

/** One participant: the picture or an avatar, the name, and what one should know about them. */
export function Tile(props: TileProps): JSX.Element {
  const { client, troubles } = useMeeting()
  const { participant, speaking } = props
  const isSelf = participant.id === client.self.id
  const [measure, size] = useSize<HTMLDivElement>()
  const [shown, setShown] = useState(false)
  const own = useCameraStream(client.local)
  const theirs = useTheirs(isSelf ? undefined : participant, 'camera', size, props.priority)
  const stream = isSelf ? own : theirs
  const muted = isSelf ? !client.local.microphoneOn : participant.audio_muted
  const raised = isSelf ? client.handRaised : participant.hand_raised
  const name = isSelf ? `${participant.display_name} (you)` : participant.display_name
  const trouble =
    isSelf || muted ? undefined : troubles.find(one => one.participantId === participant.id && one.kind === 'sound')
  return (
    <div
      ref={measure}
      class={`tile${speaking && !muted ? ' speaking' : ''}`}
      style={pixels(props.size)}
      role="group"
      aria-label={describe(name, muted, raised, speaking)}
      data-testid="tile"
      data-participant={participant.id}
      data-self={isSelf}
    >
      {!shown && <Avatar id={participant.id} name={participant.display_name} />}
      <Picture stream={stream} mirrored={isSelf} onShown={setShown} />
      {trouble && (
        <span class="tile-trouble" role="status" title={trouble.cause} data-testid={`trouble-${participant.id}`}>
          No sound is arriving from {participant.display_name}
        </span>
      )}
      {raised && (
        <span class="tile-hand" data-testid={`hand-${participant.id}`}>
          <Icon name="hand" size={18} />
        </span>
      )}
      <span class="plate">
        {muted && (
          <span class="plate-muted" data-testid={`muted-${participant.id}`}>
            <Icon name="micOff" size={14} />
          </span>
        )}
        <span class="plate-name">{name}</span>
      </span>
      {props.onPin && <PinButton name={participant.display_name} pinned={props.pinned} onPin={props.onPin} />}
    </div>
  )
}

/** Somebody's screen, shown whole. */
export function ScreenTile(props: { participant: Participant; size?: Size }): JSX.Element {
  const { client } = useMeeting()
  const { participant } = props
  const isSelf = participant.id === client.self.id
  const [measure, size] = useSize<HTMLDivElement>()
  const own = useOwnScreen()
  const theirs = useTheirs(isSelf ? undefined : participant, 'screen', size, screenPriority)
  const stream = isSelf ? own : theirs
  const name = isSelf ? 'You are sharing your screen' : `${participant.display_name}’s screen`
  return (
    <div
      ref={measure}
      class="tile tile-screen"
      style={pixels(props.size)}
      role="group"
      aria-label={name}
      data-testid="screen-tile"
      data-participant={participant.id}
    >
      <Picture stream={stream} whole />
      <span class="plate">
        <Icon name="screen" size={14} />
        <span class="plate-name">{name}</span>
      </span>
    </div>
  )
}

function PinButton(props: { name: string; pinned: boolean; onPin: () => void }): JSX.Element {
  const label = props.pinned ? `Unpin ${props.name}` : `Pin ${props.name}`
  return (
    <button type="button" class="tile-pin" aria-label={label} aria-pressed={props.pinned} onClick={props.onPin}>
      <Icon name="pin" size={16} />
    </button>
  )
}

function useOwnScreen(): MediaStream | undefined {
  const track = useMeeting().client.local.track('screen')
  return useMemo(() => (track ? new MediaStream([track]) : undefined), [track])
}

/** The stream of somebody else's track, asked for at the size at which it is shown. */
function useTheirs(
  participant: Participant | undefined,
  source: 'camera' | 'screen',
  size: Size,
  priority: number,
): MediaStream | undefined {
  const { client, views } = useMeeting()
  const tile = useRef({})
  const shows = participant && (source === 'camera' ? !participant.video_muted : participant.screen_sharing)
  const trackId = shows ? client.roster.track(participant.id, source)?.id : undefined
  const { width, height } = size
  useEffect(() => {
    const key = tile.current
    if (!trackId || width < 1 || height < 1) {
      views.delete(key)
      return
    }
    views.set(key, trackId, width, height, priority)
  }, [views, trackId, width, height, priority])
  useEffect(() => () => views.delete(tile.current), [views])
  return trackId ? client.streamOf(trackId) : undefined
}

function describe(name: string, muted: boolean, raised: boolean, speaking: boolean): string {
  return [name, muted && 'muted', raised && 'hand raised', speaking && !muted && 'speaking'].filter(Boolean).join(', ')
}
