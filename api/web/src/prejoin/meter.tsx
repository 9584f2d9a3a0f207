import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'

const bars = 5

/** Shows how loud a microphone is. It writes to the elements itself: sixty drawings a second are none of Preact's. */
export function Meter({ track }: { track: MediaStreamTrack | null }): JSX.Element {
  const meter = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const element = meter.current
    if (!track || !element) return
    const stop = listen(track, level => {
      const lit = Math.round(level * bars)
      for (const [i, bar] of [...element.children].entries()) bar.classList.toggle('lit', i < lit)
    })
    return () => {
      stop()
      for (const bar of element.children) bar.classList.remove('lit')
    }
  }, [track])
  return (
    <div
      ref={meter}
      class={`meter${track ? '' : ' meter-off'}`}
      role="img"
      aria-label={track ? 'Microphone level' : 'Microphone is muted'}
    >
      {Array.from({ length: bars }, (_, i) => (
        <i key={i} />
      ))}
    </div>
  )
}

/** Measures a track at each frame, from 0 for silence to 1 for loud, until the returned function is called. */
function listen(track: MediaStreamTrack, tell: (level: number) => void): () => void {
  const context = new AudioContext()
  const source = context.createMediaStreamSource(new MediaStream([track]))
  const analyser = context.createAnalyser()
  analyser.fftSize = 512
  source.connect(analyser)
  const samples = new Float32Array(analyser.fftSize)
  let frame = 0
  const measure = (): void => {
    analyser.getFloatTimeDomainData(samples)
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length
    tell(Math.min(1, Math.max(0, (10 * Math.log10(power + 1e-9) + 60) / 45)))
    frame = requestAnimationFrame(measure)
  }
  measure()
  return () => {
    cancelAnimationFrame(frame)
    source.disconnect()
    void context.close()
  }
}
