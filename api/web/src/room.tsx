import { Client, type ClientOptions, type JoinOptions, type ScalableCodec, type VideoOptions } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { useEvents, useKept } from './hooks.ts'
import { Closed } from './meeting/closed.tsx'
import { Meeting } from './meeting/meeting.tsx'
import { Waiting } from './meeting/waiting.tsx'
import { Prejoin } from './prejoin/prejoin.tsx'
import { hostKey, userToken } from './secrets.ts'

/** A meeting's page from the door to the end. */
export function Room({ meetingId }: { meetingId: string }): JSX.Element {
  const client = useMemo(makeClient, [])
  useEvents(client, 'state')
  const [name, setName] = useKept('name', '')
  const [fresh, setFresh] = useState(true)
  useEffect(() => {
    const leave = (): void => client.leave()
    addEventListener('pagehide', leave)
    return () => removeEventListener('pagehide', leave)
  }, [client])
  const regionRtts = useRef<Record<string, number>>({})
  useEffect(() => {
    void client.measureRegions().then(measured => {
      regionRtts.current = measured
    })
  }, [client])
  const key = hostKey(sessionStorage, meetingId)
  const join = (): void => {
    setFresh(false)
    const who: JoinOptions = { meetingId, displayName: name.trim(), regionRtts: regionRtts.current }
    const region = new URLSearchParams(location.search).get('region')
    if (key) who.hostKey = key
    if (region) who.region = region
    client.join(who).catch(() => undefined)
  }
  if (client.state === 'closed' && !fresh) {
    return <Closed client={client} meetingId={meetingId} onBack={() => setFresh(true)} />
  }
  if (client.state === 'waiting') return <Waiting client={client} name={name} />
  if (client.state === 'joined' || client.state === 'reconnecting') {
    return <Meeting client={client} meetingId={meetingId} />
  }
  return <Prejoin client={client} name={name} onName={setName} onJoin={join} host={key !== undefined} />
}

/** Makes the client and shows it to support and tests as `window.parley`. */
function makeClient(): Client {
  const token = userToken(sessionStorage)
  const options: ClientOptions = {
    base: location.origin,
    slots: { video: innerWidth < 700 ? 4 : 6 },
    video: videoIn(location.search),
  }
  const client = new Client(token ? { ...options, userToken: token } : options)
  Object.defineProperty(window, 'parley', { value: client, configurable: true })
  return client
}

/** What an address asks for: ?camera=vp9,L3T3_KEY sends the camera as one stream with layers, &receive=vp9,av1 takes such streams. */
function videoIn(search: string): VideoOptions {
  const wishes = new URLSearchParams(search)
  const known = (name: string | undefined): name is ScalableCodec => name === 'vp9' || name === 'av1'
  const [codec, mode] = wishes.get('camera')?.split(',') ?? []
  const receive = (wishes.get('receive') ?? '').split(',').filter(known)
  return known(codec) && mode && /^L[1-3]T[1-3](_KEY)?$/.test(mode) ? { camera: { codec, mode }, receive } : { receive }
}
