import type { Client } from '@parley-sfu/client'
import { createContext } from 'preact'
import { useContext } from 'preact/hooks'
import type { Trouble } from './health.ts'
import type { Views } from './views.ts'

/** What every part of the meeting works with. */
export interface MeetingContext {
  client: Client
  views: Views
  /** What does not arrive of others. */
  troubles: readonly Trouble[]
}

export const Context = createContext<MeetingContext | undefined>(undefined)

/** The meeting around a component. */
export function useMeeting(): MeetingContext {
  const meeting = useContext(Context)
  if (!meeting) throw new Error('used outside of a meeting')
  return meeting
}
