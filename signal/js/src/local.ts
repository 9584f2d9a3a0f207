import { Emitter } from './emitter.ts'
import { ParleyError } from './error.ts'
import type { Source } from './outlet.ts'
import { Serial } from './serial.ts'

/** The events of the local devices. */
export interface LocalEvents {
  /** What is captured has changed: read it anew. */
  change: undefined
  /** A device went away or could not be opened. */
  problem: ParleyError
}

/** The devices of the machine, as far as the browser tells. */
export interface Devices {
  cameras: MediaDeviceInfo[]
  microphones: MediaDeviceInfo[]
  speakers: MediaDeviceInfo[]
}

/**
 * The camera, microphone and screen of this machine. The microphone stays open while it is muted so that unmuting is
 * instant; a camera that is off is really off, with its light.
 */
export class LocalMedia extends Emitter<LocalEvents> {
  #tracks = new Map<Source, MediaStreamTrack>()
  #microphoneOn = false
  readonly #changes = new Serial()

  /** What is sent for a source: nothing while the microphone is muted. */
  track(source: Source): MediaStreamTrack | null {
    if (source === 'microphone' && !this.#microphoneOn) return null
    return this.#tracks.get(source) ?? null
  }

  get camera(): MediaStreamTrack | null {
    return this.track('camera')
  }

  /** The open microphone, muted or not. */
  get microphone(): MediaStreamTrack | null {
    return this.#tracks.get('microphone') ?? null
  }

  /** Whether others can hear. */
  get microphoneOn(): boolean {
    return this.#microphoneOn && this.microphone !== null
  }

  get cameraOn(): boolean {
    return this.camera !== null
  }

  get screenOn(): boolean {
    return this.track('screen') !== null
  }

  /** Turns the camera on, or switches to another one. */
  openCamera(deviceId?: string): Promise<boolean> {
    const video = {
      width: { ideal: 1280 },
      height: { ideal: 720 },
      frameRate: { ideal: 30, max: 30 },
      ...preferring(deviceId),
    }
    return this.#open('camera', () => navigator.mediaDevices.getUserMedia({ video }))
  }

  /** Turns the camera off. */
  closeCamera(): Promise<void> {
    return this.#changes.run(async () => this.#drop('camera'))
  }

  /** Opens the microphone, or switches to another one; muted or not stays as it is. */
  openMicrophone(deviceId?: string): Promise<boolean> {
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...preferring(deviceId) }
    return this.#open('microphone', () => navigator.mediaDevices.getUserMedia({ audio }))
  }

  /** Mutes or unmutes; unmuting opens the default microphone where none is open. */
  async setMicrophoneOn(on: boolean): Promise<boolean> {
    if (on && !this.microphone && !(await this.openMicrophone())) return false
    this.#microphoneOn = on
    const track = this.microphone
    if (track) track.enabled = on
    this.emit('change', undefined)
    return true
  }

  /** Asks which screen to share and captures it. Answers false when the person thought better of it. */
  async openScreen(): Promise<boolean> {
    let stream: MediaStream
    try {
      stream = await navigator.mediaDevices.getDisplayMedia({
        video: { frameRate: { ideal: 15, max: 30 } },
        audio: true,
      })
    } catch (error) {
      if (error instanceof DOMException && error.name === 'NotAllowedError') return false
      throw ParleyError.from(error)
    }
    const [video] = stream.getVideoTracks()
    const [audio] = stream.getAudioTracks()
    if (video) video.contentHint = 'detail'
    this.#keep('screen', video)
    this.#keep('screen_audio', audio)
    this.emit('change', undefined)
    return true
  }

  /** Ends sharing the screen. */
  closeScreen(): void {
    this.#drop('screen')
    this.#drop('screen_audio')
  }

  /** Lists the devices; their names are empty until one was opened. */
  async devices(): Promise<Devices> {
    const all = (await navigator.mediaDevices?.enumerateDevices()) ?? []
    const of = (kind: MediaDeviceKind): MediaDeviceInfo[] => all.filter(one => one.kind === kind && one.deviceId !== '')
    return { cameras: of('videoinput'), microphones: of('audioinput'), speakers: of('audiooutput') }
  }

  /** Lets go of every device. */
  close(): void {
    for (const source of [...this.#tracks.keys()]) this.#drop(source)
  }

  #open(source: Source, capture: () => Promise<MediaStream>): Promise<boolean> {
    return this.#changes.run(async () => {
      try {
        const [track] = (await capture()).getTracks()
        if (track && source === 'microphone') track.enabled = this.#microphoneOn
        this.#keep(source, track)
      } catch (error) {
        this.emit('problem', refusal(source, error))
        return false
      }
      this.emit('change', undefined)
      return true
    })
  }

  #keep(source: Source, track: MediaStreamTrack | undefined): void {
    this.#tracks.get(source)?.stop()
    this.#tracks.delete(source)
    if (!track) return
    this.#tracks.set(source, track)
    track.onended = () => this.#ended(source, track)
  }

  /** The device was pulled out, or the browser's own button ended the sharing. */
  #ended(source: Source, track: MediaStreamTrack): void {
    if (this.#tracks.get(source) !== track) return
    if (source === 'screen') this.closeScreen()
    else this.#drop(source)
    if (source === 'camera' || source === 'microphone') {
      this.emit('problem', new ParleyError('device_gone', `The ${source} was disconnected.`))
    }
  }

  #drop(source: Source): void {
    const track = this.#tracks.get(source)
    if (!track) return
    track.stop()
    this.#tracks.delete(source)
    this.emit('change', undefined)
  }
}

/** Prefers a device, but does with another one where it is gone. */
function preferring(deviceId: string | undefined): MediaTrackConstraints {
  return deviceId ? { deviceId: { ideal: deviceId } } : {}
}

/** Puts a browser's refusal into a sentence. */
function refusal(source: Source, cause: unknown): ParleyError {
  const name = cause instanceof DOMException ? cause.name : ''
  if (name === 'NotAllowedError')
    return new ParleyError('device_denied', `The browser does not allow this page to use the ${source}.`)
  if (name === 'NotFoundError' || name === 'OverconstrainedError')
    return new ParleyError('device_missing', `There is no such ${source}.`)
  if (name === 'NotReadableError') return new ParleyError('device_busy', `Another program is using the ${source}.`)
  return new ParleyError('device_failed', `The ${source} could not be opened.`)
}
