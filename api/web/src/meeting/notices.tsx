import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { useEvents, useReaction } from '../hooks.ts'
import { announce } from '../ui/announce.ts'
import { useMeeting } from './context.ts'

/** A connection that is restored within this time, in milliseconds, is not worth a word. */
const calm = 800

/** How long something may take before help is offered, in milliseconds. */
const patience = 5_000

/** Says that the connection is being restored, for as long as it is, and offers help when that takes long. */
export function Banner({ meetingId }: { meetingId: string }): JSX.Element | null {
  const { client } = useMeeting()
  useEvents(client, 'state', 'path')
  const broken = client.state === 'reconnecting' || client.path === 'interrupted' || client.path === 'failed'
  const shown = useFor(broken, calm)
  const slow = useFor(broken || client.path === 'connecting', patience)
  if (!shown && !slow) return null
  return (
    <div class="banner" role="status" data-testid="reconnecting">
      <span class="spinner" aria-hidden="true" />
      {saying(client.state === 'reconnecting', broken)}
      {slow && (
        <a
          href={`/test?meeting=${encodeURIComponent(meetingId)}`}
          target="_blank"
          rel="noreferrer"
          data-testid="to-test"
        >
          What is wrong?
        </a>
      )}
    </div>
  )
}

function saying(reconnecting: boolean, broken: boolean): string {
  if (!navigator.onLine) return 'No network. You are back as soon as there is one.'
  if (reconnecting) return 'Reconnecting…'
  return broken ? 'Restoring sound and picture…' : 'Connecting sound and picture…'
}

/** Whether something has been so for as many milliseconds. */
function useFor(now: boolean, duration: number): boolean {
  const [long, setLong] = useState(false)
  useEffect(() => {
    setLong(false)
    if (!now) return
    const timer = setTimeout(() => setLong(true), duration)
    return () => clearTimeout(timer)
  }, [now, duration])
  return now && long
}

/** How long a note stays, in milliseconds. */
const stay = 5_000
const most = 3

/** Short notes of what happened that one would otherwise miss. */
export function Notes(): JSX.Element {
  const { client } = useMeeting()
  const [notes, setNotes] = useState<readonly { id: number; text: string }[]>([])
  const next = useRef(0)
  const timers = useRef(new Set<ReturnType<typeof setTimeout>>())
  const add = (text: string): void => {
    const id = next.current++
    setNotes(before => [...before, { id, text }].slice(-most))
    const timer = setTimeout(() => {
      timers.current.delete(timer)
      setNotes(before => before.filter(note => note.id !== id))
    }, stay)
    timers.current.add(timer)
  }
  useEffect(() => {
    // What went wrong while joining came before this was here to show it.
    for (const problem of client.problems) add(problem.message)
    return () => {
      for (const timer of timers.current) clearTimeout(timer)
    }
  }, [client])
  useReaction(client, 'problem', problem => add(problem.message))
  useReaction(client, 'rejoined', () => add('You were away for a while and have joined again.'))
  useReaction(client, 'migrated', () => add('You were moved to another server.'))
  useReaction(client, 'muted', source => add(`The host turned your ${source} off.`))
  return (
    <div class="notes" role="status">
      {notes.map(note => (
        <p key={note.id}>{note.text}</p>
      ))}
    </div>
  )
}

/** Tells screen readers who comes, goes and raises a hand. */
export function useAnnouncements(): void {
  const { client } = useMeeting()
  const before = useRef(new Map<string, { name: string; raised: boolean }>())
  useReaction(client, 'participants', () => {
    const now = new Map(
      client.roster.participants.map(one => [one.id, { name: one.display_name, raised: one.hand_raised }]),
    )
    const said: string[] = []
    for (const [id, { name, raised }] of now) {
      const known = before.current.get(id)
      if (!known && before.current.size > 0) said.push(`${name} joined.`)
      if (raised && !known?.raised && id !== client.self.id) said.push(`${name} raised a hand.`)
    }
    for (const [id, { name }] of before.current) if (!now.has(id)) said.push(`${name} left.`)
    before.current = now
    if (said.length > 0) announce(said.slice(0, most).join(' '))
  })
}
