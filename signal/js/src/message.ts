import { type ClientMessages, closeCodes, type Envelope, type ServerMessages } from './wire.ts'

/** The types of messages a client sends, with their bodies. */
export type Requests = ClientMessages

/** A message from the server; `type` tells the rest. */
export type Message = {
  [Type in keyof ServerMessages]: Omit<Envelope, 'type'> & { type: Type } & ServerMessages[Type]
}[keyof ServerMessages]

/** Reads one message. Types that this version does not know are passed on too: whoever handles messages ignores them. */
export function parse(text: string): Message | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || !('type' in value)) return undefined
  return typeof value.type === 'string' ? (value as Message) : undefined
}

/** Whether the code says that the node goes away: another one takes the session up. */
export function goingAway(code: number): boolean {
  return code === 1001 || code === closeCodes.going_away
}

/** Whether a session whose socket closed with the code may be resumed. */
export function resumable(code: number): boolean {
  return code !== 1000 && code !== closeCodes.replaced && !(code >= 4100 && code < 5000)
}
