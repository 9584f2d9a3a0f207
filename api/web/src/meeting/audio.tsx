import type { JSX } from 'preact'
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { useEvents } from '../hooks.ts'
import { Icon } from '../ui/icon.tsx'
import { useMeeting } from './context.ts'

/** Plays the room's sound. Where the browser blocks that, it says so and offers the click that it wants. */
export function Sound({ speaker }: { speaker: string }): JSX.Element {
  const { client } = useMeeting()
  useEvents(client, 'path', 'slots')
  const players = useRef(new Set<HTMLAudioElement>())
  const [blocked, setBlocked] = useState(false)
  const play = useCallback(async (player: HTMLAudioElement) => {
    try {
      await player.play()
      setBlocked(false)
    } catch (error) {
      if (error instanceof DOMException && error.name === 'NotAllowedError') setBlocked(true)
    }
  }, [])
  const unblock = (): void => {
    for (const player of players.current) void play(player)
  }
  return (
    <>
      {client.audioStreams.map(stream => (
        <Player key={stream.id} stream={stream} speaker={speaker} players={players.current} play={play} />
      ))}
      {blocked && (
        <button type="button" class="sound-hint" data-testid="unblock" onClick={unblock}>
          <Icon name="sound" size={18} /> The browser holds the sound back. Click to hear the others.
        </button>
      )}
    </>
  )
}

interface PlayerProps {
  stream: MediaStream
  speaker: string
  players: Set<HTMLAudioElement>
  play: (player: HTMLAudioElement) => Promise<void>
}

function Player({ stream, speaker, players, play }: PlayerProps): JSX.Element {
  const audio = useRef<HTMLAudioElement>(null)
  useEffect(() => {
    const element = audio.current
    if (!element) return
    element.srcObject = stream
    players.add(element)
    void play(element)
    return () => {
      players.delete(element)
      element.srcObject = null
    }
  }, [stream, players, play])
  useEffect(() => {
    audio.current?.setSinkId?.(speaker).catch(() => undefined)
  }, [speaker])
  // Captions of live speech do not exist here.
  // biome-ignore lint/a11y/useMediaCaption: see above
  return <audio ref={audio} data-testid="audio" autoplay />
}
