import type { ComponentChildren, JSX } from 'preact'
import { Icon } from '../ui/icon.tsx'

/** What lies beside the stage, or over it on a phone. */
export interface PanelProps {
  title: string
  testId: string
  onClose: () => void
  children: ComponentChildren
}

export function Panel({ title, testId, onClose, children }: PanelProps): JSX.Element {
  return (
    <aside class="panel" aria-label={title} data-testid={testId}>
      <header class="panel-head">
        <h2>{title}</h2>
        <button type="button" class="plain" aria-label={`Close ${title}`} onClick={onClose}>
          <Icon name="close" size={18} />
        </button>
      </header>
      {children}
    </aside>
  )
}
