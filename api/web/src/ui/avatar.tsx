import type { JSX } from 'preact'

/** The first letters of the first and the last word of a name. */
export function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/).filter(Boolean)
  const picked = words.length > 1 ? [words[0], words.at(-1)] : words
  return (
    picked
      .map(word => [...(word ?? '')][0] ?? '')
      .join('')
      .toUpperCase() || '?'
  )
}

/** One of eight colours, always the same for an id. */
export function hueOf(id: string): number {
  let hash = 7
  for (const letter of id) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) >>> 0
  return hash % 8
}

/** Stands for somebody who shows no picture. */
export function Avatar({ id, name, small = false }: { id: string; name: string; small?: boolean }): JSX.Element {
  return (
    <span class={`avatar hue-${hueOf(id)}${small ? ' avatar-small' : ''}`} aria-hidden="true">
      {initialsOf(name)}
    </span>
  )
}
