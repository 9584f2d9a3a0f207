import type { Client, LocalMedia, ParleyError } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useEffect, useMemo, useState } from 'preact/hooks'
import { useEvents } from '../hooks.ts'
import { Avatar } from '../ui/avatar.tsx'
import { RoundButton } from '../ui/button.tsx'
import { Picture } from '../ui/picture.tsx'
import { Meter } from './meter.tsx'

/** One's own picture with the two switches that matter. */
export function Preview({ client, name }: { client: Client; name: string }): JSX.Element {
  const { local } = client
  useEvents(local, 'change')
  const stream = useCameraStream(local)
  const problem = useProblem(local)
  return (
    <section class="preview" aria-label="Your camera">
      {stream ? <Picture stream={stream} mirrored /> : <Avatar id={name} name={name} />}
      {!stream && <p class="preview-note">{problem || 'Your camera is off'}</p>}
      <div class="preview-meter">
        <Meter track={local.microphoneOn ? local.microphone : null} />
      </div>
      <div class="preview-bar">
        <MicButton local={local} />
        <CameraButton local={local} />
      </div>
    </section>
  )
}

/** Mutes and unmutes. */
export function MicButton({ local, shortcut }: { local: LocalMedia; shortcut?: string }): JSX.Element {
  const on = local.microphoneOn
  return (
    <RoundButton
      icon={on ? 'mic' : 'micOff'}
      label={on ? 'Mute' : 'Unmute'}
      testId="mic"
      pressed={on}
      tone={on ? 'plain' : 'off'}
      {...(shortcut ? { shortcut } : {})}
      onClick={() => void local.setMicrophoneOn(!on)}
    />
  )
}

/** Turns the camera on and off. */
export function CameraButton({ local, shortcut }: { local: LocalMedia; shortcut?: string }): JSX.Element {
  const on = local.cameraOn
  return (
    <RoundButton
      icon={on ? 'camera' : 'cameraOff'}
      label={on ? 'Turn camera off' : 'Turn camera on'}
      testId="camera"
      pressed={on}
      tone={on ? 'plain' : 'off'}
      {...(shortcut ? { shortcut } : {})}
      onClick={() => toggleCamera(local)}
    />
  )
}

/** Turns the camera that was used last on, or off. */
export function toggleCamera(local: LocalMedia): void {
  if (local.cameraOn) void local.closeCamera()
  else void local.openCamera(localStorage.getItem('parley.camera') ?? undefined)
}

/** One's own camera as a stream; the same one for the same track. */
export function useCameraStream(local: LocalMedia): MediaStream | undefined {
  const track = local.camera
  return useMemo(() => (track ? new MediaStream([track]) : undefined), [track])
}

function useProblem(local: LocalMedia): string {
  const [problem, setProblem] = useState('')
  useEffect(() => local.on('problem', (error: ParleyError) => setProblem(error.message)), [local])
  return problem
}
