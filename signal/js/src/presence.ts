import { Emitter } from './emitter.ts'
import type { LocalMedia } from './local.ts'
import type { Roster } from './roster.ts'
import type { PresenceUpdate } from './wire.ts'

/** The events of the own presence. */
export interface PresenceEvents {
  /** The host muted this source. */
  muted: 'microphone' | 'camera'
}

/** How long the server's view may lag behind before it is taken for the host's doing, in milliseconds. */
const lag = 1_000

/**
 * Keeps what others see of this participant in step with its devices, and its devices in step with a host who mutes.
 * One's own changes come back as echoes; until they have settled the server's view decides nothing.
 */
export class Presence extends Emitter<PresenceEvents> {
  #hand = false
  #sent: PresenceUpdate = {}
  #open = 0
  #settles = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly send: (wish: PresenceUpdate) => Promise<unknown>,
    private readonly roster: Roster,
    private readonly local: LocalMedia,
  ) {
    super()
  }

  get handRaised(): boolean {
    return this.#hand
  }

  raiseHand(raised: boolean): void {
    this.#hand = raised
    this.update()
  }

  /** Tells the server what is new. */
  update(): void {
    if (this.roster.self.id === '') return
    const now = this.#wish()
    const changed = (Object.keys(now) as (keyof PresenceUpdate)[]).filter(key => now[key] !== this.#sent[key])
    if (changed.length === 0) return
    this.#sent = now
    this.#open++
    const wish = Object.fromEntries(changed.map(key => [key, now[key]]))
    this.send(wish)
      .catch(() => {
        this.#sent = {}
      })
      .finally(() => {
        this.#open--
        this.#settles = Date.now() + lag
        this.reconcile()
      })
  }

  /** Says everything again: the other side may have lost it. */
  repeat(): void {
    this.#sent = {}
    this.update()
  }

  /** Compares the server's view with the devices once the own changes have settled. */
  reconcile(): void {
    clearTimeout(this.#timer)
    if (this.#open > 0) return
    const wait = this.#settles - Date.now()
    if (wait > 0) {
      this.#timer = setTimeout(() => this.reconcile(), wait)
      return
    }
    const self = this.roster.self
    if (self.id === '' || Object.keys(this.#sent).length === 0) return
    if (self.audio_muted && this.local.microphoneOn) this.#obey('microphone')
    if (self.video_muted && this.local.cameraOn) this.#obey('camera')
    if (this.#hand && !self.hand_raised) this.#lowered()
  }

  /** Starts over for another meeting. */
  reset(): void {
    clearTimeout(this.#timer)
    this.#hand = false
    this.#sent = {}
    this.#settles = 0
  }

  #wish(): Required<PresenceUpdate> {
    return {
      audio_muted: !this.local.microphoneOn,
      video_muted: !this.local.cameraOn,
      hand_raised: this.#hand,
      screen_sharing: this.local.screenOn,
    }
  }

  #obey(source: 'microphone' | 'camera'): void {
    if (source === 'microphone') void this.local.setMicrophoneOn(false)
    else void this.local.closeCamera()
    this.emit('muted', source)
  }

  #lowered(): void {
    this.#hand = false
    this.#sent = { ...this.#sent, hand_raised: false }
  }
}
