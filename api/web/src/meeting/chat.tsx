import { type Chat, ParleyError } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { useEvents } from '../hooks.ts'
import { Avatar } from '../ui/avatar.tsx'
import { Icon } from '../ui/icon.tsx'
import { useMeeting } from './context.ts'
import { Panel } from './panel.tsx'

/** The longest message, in characters: well below the server's limit in bytes. */
const longest = 2_000

/** What was written, and a place to write. */
export function ChatPanel({
  names,
  onClose,
}: {
  names: ReadonlyMap<string, string>
  onClose: () => void
}): JSX.Element {
  const { client } = useMeeting()
  useEvents(client, 'chat')
  const end = useRef<HTMLLIElement>(null)
  const { messages } = client
  useEffect(() => end.current?.scrollIntoView({ block: 'end' }), [messages])
  return (
    <Panel title="Chat" testId="chat-panel" onClose={onClose}>
      {messages.length === 0 && (
        <p class="panel-empty">Nobody has written yet. Messages are gone when the meeting is.</p>
      )}
      <ol class="chat-list" aria-live="polite">
        {messages.map((message, i) => (
          <Message key={`${message.sent_at} ${i}`} message={message} before={messages[i - 1]} names={names} />
        ))}
        <li ref={end} class="chat-end" aria-hidden="true" />
      </ol>
      <Composer />
    </Panel>
  )
}

interface MessageProps {
  message: Chat
  before: Chat | undefined
  names: ReadonlyMap<string, string>
}

function Message({ message, before, names }: MessageProps): JSX.Element {
  const { client } = useMeeting()
  const own = message.from === client.self.id
  const name = own ? 'You' : (names.get(message.from) ?? 'Somebody who left')
  const again = before?.from === message.from && before.private === message.private
  return (
    <li class={`chat-message${own ? ' chat-own' : ''}${again ? ' chat-again' : ''}`} data-testid="chat-message">
      {!again && (
        <header>
          {!own && <Avatar id={message.from} name={name} small />}
          <strong>{name}</strong>
          {message.private && <em>to you alone</em>}
          <time dateTime={message.sent_at}>{clock(message.sent_at)}</time>
        </header>
      )}
      <p>{message.text}</p>
    </li>
  )
}

function Composer(): JSX.Element {
  const { client } = useMeeting()
  const [text, setText] = useState('')
  const [problem, setProblem] = useState('')
  const input = useRef<HTMLTextAreaElement>(null)
  useEffect(() => {
    // On a phone the keyboard would hide what was written.
    if (matchMedia('(hover: hover)').matches) input.current?.focus()
  }, [])
  const send = async (): Promise<void> => {
    const message = text.trim()
    if (message === '') return
    setText('')
    try {
      await client.chat(message)
      setProblem('')
    } catch (error) {
      setText(current => current || message)
      setProblem(ParleyError.from(error).message)
    }
  }
  const key = (event: KeyboardEvent): void => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    void send()
  }
  return (
    <form
      class="composer"
      onSubmit={event => {
        event.preventDefault()
        void send()
      }}
    >
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      <textarea
        ref={input}
        data-testid="chat-input"
        aria-label="Message to everyone"
        placeholder="Message to everyone"
        rows={1}
        maxLength={longest}
        value={text}
        onInput={event => setText(event.currentTarget.value)}
        onKeyDown={key}
      />
      <button type="submit" class="send" data-testid="chat-send" aria-label="Send" disabled={text.trim() === ''}>
        <Icon name="send" size={20} />
      </button>
    </form>
  )
}

function clock(time: string): string {
  return new Date(time).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
}
