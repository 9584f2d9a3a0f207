import type { Client, ClientEvents, Emitter } from '@parley-sfu/client'
import { useEffect, useReducer, useRef, useState } from 'preact/hooks'

/** Draws the component anew at each of the events. */
export function useEvents<Events extends object>(source: Emitter<Events>, ...names: (keyof Events)[]): void {
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  // The names are the same at each call, so they are no dependency.
  useEffect(() => {
    redraw(undefined as never)
    const stops = names.map(name => source.on(name, () => redraw(undefined as never)))
    return () => {
      for (const stop of stops) stop()
    }
  }, [source])
}

/** Whether something has been so for some milliseconds on end. */
export function useLasting(so: boolean, milliseconds: number): boolean {
  const [lasts, setLasts] = useState(false)
  useEffect(() => {
    if (!so) return
    const timer = setTimeout(() => setLasts(true), milliseconds)
    return () => {
      clearTimeout(timer)
      setLasts(false)
    }
  }, [so, milliseconds])
  return so && lasts
}

/** Calls `react` at an event of the client, always with what the component last saw. */
export function useReaction<Name extends keyof ClientEvents>(
  client: Client,
  name: Name,
  react: (event: ClientEvents[Name]) => void,
): void {
  const latest = useRef(react)
  latest.current = react
  useEffect(() => client.on(name, event => latest.current(event)), [client, name])
}

/** The size of an element, in CSS pixels, as it changes. */
export function useSize<E extends HTMLElement>(): [(element: E | null) => void, { width: number; height: number }] {
  const [element, setElement] = useState<E | null>(null)
  const [size, setSize] = useState({ width: 0, height: 0 })
  useEffect(() => {
    if (!element) return
    const observer = new ResizeObserver(([entry]) => {
      const box = entry?.borderBoxSize[0]
      if (box) setSize({ width: box.inlineSize, height: box.blockSize })
    })
    observer.observe(element)
    return () => observer.disconnect()
  }, [element])
  return [setElement, size]
}

/** A value that outlives the page's visit, kept in the browser. */
export function useKept(key: string, initial: string): [string, (value: string) => void] {
  const name = `parley.${key}`
  const [value, setValue] = useState(() => localStorage.getItem(name) ?? initial)
  return [
    value,
    next => {
      setValue(next)
      localStorage.setItem(name, next)
    },
  ]
}
