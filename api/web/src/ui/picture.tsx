import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'

/** What a picture shows. */
export interface PictureProps {
  stream: MediaStream | undefined
  mirrored?: boolean
  /** Whether all of the picture is shown, with bars, rather than cut to the frame. */
  whole?: boolean
  /** Told when the first frame is there and when it is gone. */
  onShown?: (shown: boolean) => void
}

/** A silent video. It stays see-through until a frame of the stream is there, so that nothing flashes black. */
export function Picture({ stream, mirrored = false, whole = false, onShown }: PictureProps): JSX.Element {
  const video = useRef<HTMLVideoElement>(null)
  const [shown, setShown] = useState(false)
  const tell = useRef(onShown)
  tell.current = onShown
  useEffect(() => {
    const element = video.current
    if (!element) return
    let live = true
    element.srcObject = stream ?? null
    const show = (now: boolean): void => {
      if (!live) return
      setShown(now)
      tell.current?.(now)
    }
    show(false)
    if (stream) {
      element.requestVideoFrameCallback?.(() => show(true)) ?? show(true)
      element.play().catch(() => undefined)
    }
    return () => {
      live = false
    }
  }, [stream])
  const classes = ['picture', mirrored && 'picture-mirrored', whole && 'picture-whole', shown && 'picture-shown']
  return <video ref={video} class={classes.filter(Boolean).join(' ')} autoplay playsInline muted />
}
