import type { Devices, LocalMedia } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { useEvents } from '../hooks.ts'

const none: Devices = { cameras: [], microphones: [], speakers: [] }

/** Chooses among the machine's cameras, microphones and, where the browser can, loudspeakers. */
export function DeviceChoice({
  local,
  onSpeaker,
}: {
  local: LocalMedia
  onSpeaker?: (id: string) => void
}): JSX.Element {
  useEvents(local, 'change')
  const devices = useDevices(local)
  const pickCamera = (id: string): void => {
    localStorage.setItem('parley.camera', id)
    void local.openCamera(id)
  }
  return (
    <div class="devices">
      <Choice
        label="Camera"
        devices={devices.cameras}
        chosen={local.camera?.getSettings().deviceId}
        onChoose={pickCamera}
      />
      <Choice
        label="Microphone"
        devices={devices.microphones}
        chosen={local.microphone?.getSettings().deviceId}
        onChoose={id => void local.openMicrophone(id)}
      />
      {onSpeaker && devices.speakers.length > 1 && (
        <Choice
          label="Loudspeaker"
          devices={devices.speakers}
          chosen={localStorage.getItem('parley.speaker') || undefined}
          absent="System default"
          onChoose={onSpeaker}
        />
      )}
    </div>
  )
}

interface ChoiceProps {
  label: string
  devices: MediaDeviceInfo[]
  chosen: string | undefined
  /** What it means that none is chosen. */
  absent?: string
  onChoose: (id: string) => void
}

function Choice({ label, devices, chosen, absent = 'Off', onChoose }: ChoiceProps): JSX.Element {
  return (
    <label class="field">
      <span>{label}</span>
      <select
        value={chosen ?? ''}
        disabled={devices.length === 0}
        onChange={event => onChoose(event.currentTarget.value)}
      >
        {devices.length === 0 && <option value="">None found</option>}
        {chosen === undefined && devices.length > 0 && <option value="">{absent}</option>}
        {devices.map((device, i) => (
          <option key={device.deviceId} value={device.deviceId}>
            {device.label || `${label} ${i + 1}`}
          </option>
        ))}
      </select>
    </label>
  )
}

/** The machine's devices, listed anew when one comes or goes, and when their names become known. */
function useDevices(local: LocalMedia): Devices {
  const [devices, setDevices] = useState(none)
  useEffect(() => {
    const list = (): void => void local.devices().then(setDevices, () => setDevices(none))
    list()
    const stop = local.on('change', list)
    navigator.mediaDevices?.addEventListener('devicechange', list)
    return () => {
      stop()
      navigator.mediaDevices?.removeEventListener('devicechange', list)
    }
  }, [local])
  return devices
}
