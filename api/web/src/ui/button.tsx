import type { ComponentChildren, JSX } from 'preact'
import { Icon, type IconName } from './icon.tsx'

/** A round button of a bar: an icon, its words for readers and in a tip, and its key. */
export interface RoundButtonProps {
  icon: IconName
  label: string
  testId: string
  onClick: () => void
  /** For buttons that are on or off. */
  pressed?: boolean
  tone?: 'plain' | 'off' | 'active' | 'raised' | 'danger'
  shortcut?: string
  /** A small number at the corner; none for 0. */
  badge?: number
  disabled?: boolean
  children?: ComponentChildren
}

export function RoundButton(props: RoundButtonProps): JSX.Element {
  const { icon, label, testId, pressed, tone = 'plain', shortcut, badge = 0 } = props
  return (
    <button
      type="button"
      class={`round round-${tone}`}
      data-testid={testId}
      data-tip={shortcut ? `${label} (${shortcut.toUpperCase()})` : label}
      aria-label={label}
      aria-pressed={pressed}
      aria-keyshortcuts={shortcut}
      disabled={props.disabled ?? false}
      onClick={props.onClick}
    >
      <Icon name={icon} />
      {badge > 0 && <span class="badge">{badge > 99 ? '99+' : badge}</span>}
      {props.children}
    </button>
  )
}
