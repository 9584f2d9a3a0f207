import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { Icon } from './icon.tsx'

/** A modal window with a title. It closes by its button, by Escape and by a click beside it. */
export function Dialog(props: { title: string; onClose: () => void; children: ComponentChildren }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current?.showModal(), [])
  const beside = (event: MouseEvent): void => {
    if (event.target === dialog.current) props.onClose()
  }
  return (
    // Escape does with keys what the click beside the window does.
    // biome-ignore lint/a11y/useKeyWithClickEvents: see above
    <dialog ref={dialog} class="dialog" aria-label={props.title} onClose={props.onClose} onClick={beside}>
      <div class="dialog-box">
        <header>
          <h2>{props.title}</h2>
          <button type="button" class="plain" aria-label="Close" onClick={props.onClose}>
            <Icon name="close" size={18} />
          </button>
        </header>
        {props.children}
      </div>
    </dialog>
  )
}
