import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { Icon } from '../ui/icon.tsx'
import { pixels, type Size } from './layout.ts'

/** The address to invite others with: without anything that is only ours. */
export function invitationOf(meetingId: string): string {
  return `${location.origin}/m/${meetingId}`
}

/** Copies the meeting's link. */
export function CopyLink({ meetingId }: { meetingId: string }): JSX.Element {
  const [copied, setCopied] = useState(false)
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(invitationOf(meetingId)).catch(() => undefined)
    setCopied(true)
    setTimeout(() => setCopied(false), 2_000)
  }
  return (
    <button type="button" class="secondary" data-testid="copy-link" onClick={copy}>
      <Icon name={copied ? 'check' : 'link'} size={18} />
      <span aria-live="polite">{copied ? 'Copied' : 'Copy link'}</span>
    </button>
  )
}

/** Stands beside one's own tile as long as one is alone. */
export function Invitation(props: { meetingId: string; size: Size }): JSX.Element {
  return (
    <div class="invitation" style={pixels(props.size)}>
      <h2>You are the first one here</h2>
      <p>Send others this link:</p>
      <code>{invitationOf(props.meetingId)}</code>
      <CopyLink meetingId={props.meetingId} />
    </div>
  )
}
