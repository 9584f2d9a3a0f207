import { closeCodes } from './wire.ts'

/** Why a client is closed. */
export type CloseReason = 'left' | 'ended' | 'removed' | 'denied' | 'full' | 'refused' | 'replaced' | 'lost' | 'failed'

/** What the end of a session means; code 0 is a server that could not be reached again. */
export function reasonOf(code: number): CloseReason {
  switch (code) {
    case 0:
      return 'lost'
    case 1000:
    case closeCodes.ended:
      return 'ended'
    case closeCodes.removed:
      return 'removed'
    case closeCodes.full:
      return 'full'
    case closeCodes.denied:
      return 'refused'
    case closeCodes.replaced:
      return 'replaced'
    default:
      return 'failed'
  }
}
