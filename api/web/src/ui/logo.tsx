import type { JSX } from 'preact'

/** The product's mark and name. */
export function Logo(): JSX.Element {
  return (
    <span class="logo">
      <img src="/icon.svg" alt="" width="30" height="30" />
      Parley
    </span>
  )
}
