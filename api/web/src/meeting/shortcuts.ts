import { useEffect, useRef } from 'preact/hooks'

/** What each key does. */
export type Shortcuts = Readonly<Record<string, () => void>>

/** Listens for single keys, but not while somebody types or holds a modifier. */
export function useShortcuts(shortcuts: Shortcuts): void {
  const latest = useRef(shortcuts)
  latest.current = shortcuts
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return
      const act = latest.current[event.key.length === 1 ? event.key.toLowerCase() : event.key]
      if (!act) return
      event.preventDefault()
      act()
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [])
}

function typing(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && (target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName))
  )
}

/** Unmutes for as long as the space bar is held. */
export function usePushToTalk(muted: () => boolean, setMuted: (muted: boolean) => void): void {
  const latest = useRef({ muted, setMuted })
  latest.current = { muted, setMuted }
  useEffect(() => {
    let held = false
    const press = (event: KeyboardEvent): void => {
      if (event.code !== 'Space' || event.repeat || typing(event.target) || onButton(event.target)) return
      if (!latest.current.muted()) return
      event.preventDefault()
      held = true
      latest.current.setMuted(false)
    }
    const release = (event: Event): void => {
      if (!held || (event instanceof KeyboardEvent && event.code !== 'Space')) return
      held = false
      latest.current.setMuted(true)
    }
    addEventListener('keydown', press)
    addEventListener('keyup', release)
    addEventListener('blur', release)
    return () => {
      removeEventListener('keydown', press)
      removeEventListener('keyup', release)
      removeEventListener('blur', release)
    }
  }, [])
}

/** The space bar presses a focused button: that is its first meaning. */
function onButton(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest('button, a, dialog') !== null
}
