import { beforeEach, describe, expect, test } from 'vitest'
import type { Message } from '../src/message.ts'
import { Roster } from '../src/roster.ts'
import type { Participant, Snapshot, Track } from '../src/wire.ts'

const person = (id: string, more: Partial<Participant> = {}): Participant => ({
  id,
  display_name: id.toUpperCase(),
  role: 'attendee',
  audio_muted: false,
  video_muted: false,
  hand_raised: false,
  screen_sharing: false,
  ...more,
})
const camera = (owner: string): Track => ({
  id: `tr_${owner}`,
  participant_id: owner,
  kind: 'video',
  source: 'camera',
  layers: ['q', 'h', 'f'],
})
const snapshot = (more: Partial<Snapshot> = {}): Message => ({
  type: 'room.snapshot',
  seq: 1,
  self: person('me'),
  settings: { max_participants: 10, max_cameras: 10, waiting_room: false, guests: true, locked: false },
  participants: [person('me'), person('ann')],
  tracks: [camera('me'), camera('ann')],
  slots: [],
  speakers: [{ participant_id: 'ann', level: 20 }],
  resume_token: 'r',
  ...more,
})

let roster: Roster
beforeEach(() => {
  roster = new Roster()
  roster.apply(snapshot())
})
const ids = (): string[] => roster.participants.map(one => one.id)

test('a snapshot is the whole state', () => {
  expect(ids()).toEqual(['me', 'ann'])
  expect(roster.self.id).toBe('me')
  expect(roster.track('ann', 'camera')?.id).toBe('tr_ann')
  roster.apply(snapshot({ participants: [person('me'), person('bob')], tracks: [] }))
  expect(ids()).toEqual(['me', 'bob'])
  expect(roster.tracks).toEqual([])
})

test('lists that Go left out or wrote as null are empty', () => {
  const bare = { ...snapshot(), participants: null, tracks: null, slots: null, speakers: null } as unknown as Message
  roster.apply(bare)
  expect(ids()).toEqual(['me'])
  expect(roster.slots).toEqual([])
})

describe('joins and leaves', () => {
  test('one', () => {
    expect(roster.apply({ type: 'room.participant_joined', participant: person('bob') })).toContain('participants')
    expect(ids()).toEqual(['me', 'ann', 'bob'])
  })

  test('many in one message', () => {
    const both = [person('bob'), person('cleo')]
    roster.apply({ type: 'room.participant_joined', participant: person('bob'), participants: both })
    expect(ids()).toEqual(['me', 'ann', 'bob', 'cleo'])
  })

  test('who leaves takes tracks and place in the speaker order along', () => {
    roster.apply({ type: 'room.participant_left', participant: person('ann') })
    expect(ids()).toEqual(['me'])
    expect(roster.tracks.map(track => track.id)).toEqual(['tr_me'])
    expect(roster.speakers).toEqual([])
  })

  test('a second join of somebody known keeps the presence', () => {
    roster.apply({ type: 'room.presence_changed', participant_id: 'ann', hand_raised: true })
    const identity = { id: 'ann', display_name: 'Ann', role: 'host' } as const
    roster.apply({ type: 'room.participant_joined', participant: identity })
    expect(roster.participant('ann')).toMatchObject({ hand_raised: true, role: 'host' })
    expect(ids()).toEqual(['me', 'ann'])
  })
})

test('presence changes only what is named', () => {
  roster.apply({ type: 'room.presence_changed', participant_id: 'ann', audio_muted: true })
  roster.apply({ type: 'room.presence_changed', participant_id: 'ann', hand_raised: true })
  expect(roster.participant('ann')).toMatchObject({ audio_muted: true, hand_raised: true, video_muted: false })
  expect(roster.apply({ type: 'room.presence_changed', participant_id: 'nobody', audio_muted: true })).toEqual([])
})

test('tracks come and go', () => {
  const screen: Track = { ...camera('ann'), id: 'tr_s', source: 'screen' }
  expect(roster.apply({ type: 'room.track_published', track: screen })).toEqual(['tracks'])
  expect(roster.track('ann', 'screen')?.id).toBe('tr_s')
  expect(roster.apply({ type: 'room.track_unpublished', track: screen })).toEqual(['tracks'])
  expect(roster.apply({ type: 'room.track_unpublished', track: screen })).toEqual([])
})

test('the lobby empties by answers, joins and departures', () => {
  const knock = (id: string): Message => ({ type: 'room.knock', participant: person(id) })
  for (const id of ['x', 'y', 'z']) roster.apply(knock(id))
  roster.answered('x')
  roster.apply({ type: 'room.participant_joined', participant: person('y') })
  roster.apply({ type: 'room.participant_left', participant: person('z') })
  expect(roster.waiting).toEqual([])
  expect(ids()).toEqual(['me', 'ann', 'y'])
})

test('messages about other things change nothing', () => {
  expect(roster.apply({ type: 'chat.message', from: 'ann', text: 'hi', sent_at: '' })).toEqual([])
  expect(roster.apply({ type: 'room.surprise' } as unknown as Message)).toEqual([])
})
