let region: HTMLElement | undefined

/** Has screen readers say something when they are done with what they say. */
export function announce(text: string): void {
  if (!region) {
    region = document.createElement('div')
    region.className = 'unseen'
    region.setAttribute('aria-live', 'polite')
    document.body.append(region)
  }
  region.textContent = text
}
