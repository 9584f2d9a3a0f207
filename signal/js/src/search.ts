/** What can look for another path. */
interface Searching {
  /** Looks for one if the path is `lost`, or if that is known otherwise. */
  recover(lost: boolean): Promise<void>
}

/** Whether the path of media is taken for lost, whatever the browser says, and the search for another one. */
export class Search {
  /** There while the path is lost; another one with each loss. */
  #loss: object | undefined

  /** Takes the path for lost, as of now. */
  lose(): void {
    this.#loss = {}
  }

  /** There is a new connection, of which nothing is known yet. */
  forget(): void {
    this.#loss = undefined
  }

  /** Has media look for another path where theirs is lost. It stays lost where the search fails: the next look begins it again. */
  look(media: Searching): void {
    const loss = this.#loss
    media.recover(loss !== undefined).then(
      () => {
        if (this.#loss === loss) this.#loss = undefined
      },
      () => undefined,
    )
  }
}
