import type { Participant } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { useEvents, useReaction, useSize } from '../hooks.ts'
import { Icon } from '../ui/icon.tsx'
import { useMeeting } from './context.ts'
import { Invitation } from './invitation.tsx'
import { bestGrid, pageCapacity, pagerHeight, stripCapacity } from './layout.ts'
import { arrange, remember } from './order.ts'
import { ScreenTile, Tile } from './tile.tsx'

/** How the tiles lie. */
export type Layout = 'grid' | 'speaker'

const mostTiles = 25

/** Everyone's pictures: as a grid in pages, or one of them large. */
export function Stage(props: { layout: Layout; meetingId: string; onLayout: (layout: Layout) => void }): JSX.Element {
  const { client } = useMeeting()
  useEvents(client, 'participants', 'tracks', 'slots', 'speakers')
  const recent = useRecentSpeakers()
  const [pinned, setPinned] = useState<string | undefined>()
  const { participants, self } = client.roster
  const others = participants.filter(one => one.id !== self.id)
  const sharing = participants.find(one => one.screen_sharing && client.roster.track(one.id, 'screen'))
  const pin = (id: string): void => {
    setPinned(pinned === id ? undefined : id)
    props.onLayout(pinned === id ? 'grid' : 'speaker')
  }
  if (sharing || (props.layout === 'speaker' && others.length > 0)) {
    return <Focus all={participants} sharing={sharing} pinned={pinned} recent={recent} onPin={pin} />
  }
  return <Grid all={participants} recent={recent} meetingId={props.meetingId} onPin={pin} />
}

interface Common {
  all: readonly Participant[]
  recent: readonly string[]
  onPin: (id: string) => void
}

function Grid({ all, recent, meetingId, onPin }: Common & { meetingId: string }): JSX.Element {
  const { client } = useMeeting()
  const [measure, area] = useSize<HTMLElement>()
  const [page, setPage] = useState(0)
  const whole = pageCapacity(area.width, area.height, mostTiles)
  const height = all.length > whole ? area.height - pagerHeight : area.height
  const capacity = pageCapacity(area.width, height, mostTiles)
  const order = useOrder(all, recent, capacity)
  const pages = Math.max(1, Math.ceil(order.length / capacity))
  const current = Math.min(page, pages - 1)
  const visible = order.slice(current * capacity, (current + 1) * capacity)
  const alone = all.length === 1
  const grid = bestGrid(visible.length + (alone ? 1 : 0), area.width, height)
  const speaking = new Set(client.roster.speakers.map(speaker => speaker.participant_id))
  return (
    <section class={`grid${pages > 1 ? ' grid-paged' : ''}`} ref={measure} aria-label="Participants">
      {visible.map(participant => (
        <Tile
          key={participant.id}
          participant={participant}
          size={{ width: grid.width, height: grid.height }}
          speaking={speaking.has(participant.id)}
          pinned={false}
          onPin={alone ? undefined : () => onPin(participant.id)}
          priority={1}
        />
      ))}
      {alone && <Invitation meetingId={meetingId} size={{ width: grid.width, height: grid.height }} />}
      {pages > 1 && <Pager page={current} pages={pages} onPage={setPage} />}
    </section>
  )
}

function Pager(props: { page: number; pages: number; onPage: (page: number) => void }): JSX.Element {
  const { page, pages, onPage } = props
  return (
    <nav class="pager" aria-label="Pages of participants">
      <button type="button" aria-label="Page before" disabled={page === 0} onClick={() => onPage(page - 1)}>
        <Icon name="left" size={18} />
      </button>
      <span aria-live="polite">
        {page + 1} / {pages}
      </span>
      <button type="button" aria-label="Next page" disabled={page === pages - 1} onClick={() => onPage(page + 1)}>
        <Icon name="right" size={18} />
      </button>
    </nav>
  )
}

interface FocusProps extends Common {
  sharing: Participant | undefined
  pinned: string | undefined
}

/** One picture large, the others in a strip. */
function Focus({ all, sharing, pinned, recent, onPin }: FocusProps): JSX.Element {
  const { client } = useMeeting()
  const [measure, area] = useSize<HTMLElement>()
  const main = sharing ? undefined : mainOf(all, pinned, recent, client.self.id)
  const upright = area.width < area.height
  const fits = upright ? stripCapacity(area.width, 132) : stripCapacity(area.height, 118)
  const order = useOrder(
    all.filter(one => one !== main),
    recent,
    fits,
  )
  const strip = order.slice(0, fits)
  const speaking = new Set(client.roster.speakers.map(speaker => speaker.participant_id))
  const tile = (participant: Participant, priority: number): JSX.Element => (
    <Tile
      key={participant.id}
      participant={participant}
      speaking={speaking.has(participant.id)}
      pinned={participant.id === pinned}
      onPin={() => onPin(participant.id)}
      priority={priority}
    />
  )
  return (
    <section class={`focus${upright ? ' focus-upright' : ''}`} ref={measure} aria-label="Participants">
      <div class="focus-main">
        {sharing && <ScreenTile key={`screen ${sharing.id}`} participant={sharing} />}
        {main && tile(main, 10)}
      </div>
      {strip.length > 0 && (
        <div class="focus-strip">
          {strip.map(participant => tile(participant, 1))}
          {order.length > strip.length && <span class="focus-more">+{order.length - strip.length}</span>}
        </div>
      )}
    </section>
  )
}

/** Who is shown large: who was pinned, else who spoke last, else whoever is there, oneself only when alone. */
function mainOf(
  all: readonly Participant[],
  pinned: string | undefined,
  recent: readonly string[],
  selfId: string,
): Participant | undefined {
  const others = all.filter(one => one.id !== selfId)
  const byId = (id: string | undefined): Participant | undefined => all.find(one => one.id === id)
  const speaker = recent.find(id => others.some(one => one.id === id))
  return byId(pinned) ?? byId(speaker) ?? others[0] ?? all[0]
}

/** Who spoke, latest first. */
function useRecentSpeakers(): readonly string[] {
  const { client } = useMeeting()
  const speaking = (): string[] => client.roster.speakers.map(speaker => speaker.participant_id)
  const [recent, setRecent] = useState<readonly string[]>(speaking)
  useReaction(client, 'speakers', () => setRecent(before => remember(before, speaking())))
  return recent
}

/** The order of the tiles, which changes only where it must. */
function useOrder(all: readonly Participant[], recent: readonly string[], capacity: number): Participant[] {
  const before = useRef<string[]>([])
  const order = arrange(
    before.current,
    all.map(one => one.id),
    recent,
    capacity,
  )
  useEffect(() => {
    before.current = order
  })
  return order.flatMap(id => all.find(one => one.id === id) ?? [])
}
