import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { LocalMedia } from '../src/local.ts'
import { Presence } from '../src/presence.ts'
import { Roster } from '../src/roster.ts'
import type { PresenceUpdate } from '../src/wire.ts'

/** Devices without a machine. */
class FakeDevices {
  microphoneOn = true
  cameraOn = true
  screenOn = false
  setMicrophoneOn = async (on: boolean): Promise<boolean> => {
    this.microphoneOn = on
    presence.update()
    return true
  }
  closeCamera = async (): Promise<void> => {
    this.cameraOn = false
    presence.update()
  }
}

let roster: Roster
let devices: FakeDevices
let presence: Presence
let sent: PresenceUpdate[]
let muted: string[]
const serverSays = (change: PresenceUpdate): void => {
  roster.apply({ type: 'room.presence_changed', participant_id: 'me', ...change })
  presence.reconcile()
}

beforeEach(() => {
  vi.useFakeTimers()
  roster = new Roster()
  devices = new FakeDevices()
  sent = []
  muted = []
  presence = new Presence(async wish => void sent.push(wish), roster, devices as unknown as LocalMedia)
  presence.on('muted', source => muted.push(source))
})
afterEach(() => void vi.useRealTimers())

function enter(): void {
  const self = {
    id: 'me',
    display_name: 'Me',
    role: 'attendee' as const,
    audio_muted: false,
    video_muted: false,
    hand_raised: false,
    screen_sharing: false,
  }
  const settings = { max_participants: 9, max_cameras: 9, waiting_room: false, guests: true, locked: false }
  roster.apply({
    type: 'room.snapshot',
    seq: 1,
    self,
    settings,
    participants: [self],
    tracks: [],
    slots: [],
    speakers: [],
    resume_token: '',
  })
}

test('nothing is said before one is in the room, then everything once, then only changes', async () => {
  presence.update()
  expect(sent).toEqual([])
  enter()
  presence.update()
  presence.update()
  devices.cameraOn = false
  presence.update()
  presence.raiseHand(true)
  expect(sent).toEqual([
    { audio_muted: false, video_muted: false, hand_raised: false, screen_sharing: false },
    { video_muted: true },
    { hand_raised: true },
  ])
})

test('a host who mutes is obeyed', async () => {
  enter()
  presence.update()
  await vi.advanceTimersByTimeAsync(5_000)
  serverSays({ audio_muted: true })
  expect(devices.microphoneOn).toBe(false)
  expect(muted).toEqual(['microphone'])
})

test('an echo of an own change that is already undone mutes nobody', async () => {
  enter()
  presence.update()
  await vi.advanceTimersByTimeAsync(5_000)
  await devices.setMicrophoneOn(false)
  await devices.setMicrophoneOn(true)
  serverSays({ audio_muted: true })
  await vi.advanceTimersByTimeAsync(300)
  serverSays({ audio_muted: false })
  await vi.advanceTimersByTimeAsync(5_000)
  expect(devices.microphoneOn).toBe(true)
  expect(muted).toEqual([])
})

test('a host who mutes in the middle of an own change is obeyed once it has settled', async () => {
  enter()
  presence.update()
  await vi.advanceTimersByTimeAsync(5_000)
  presence.raiseHand(true)
  serverSays({ hand_raised: true, audio_muted: true })
  expect(devices.microphoneOn).toBe(true)
  await vi.advanceTimersByTimeAsync(1_100)
  expect(devices.microphoneOn).toBe(false)
})

test('after a loss everything is said again', async () => {
  enter()
  presence.raiseHand(true)
  presence.repeat()
  expect(sent).toHaveLength(2)
  expect(sent[1]).toMatchObject({ hand_raised: true })
})
