import type { Client } from '@parley-sfu/client'
import { render } from 'preact'
import type { Check, Plane, State } from '../src/check/checks.ts'
import { CheckView } from '../src/check/page.tsx'
import { Home } from '../src/home/home.tsx'
import { Closed } from '../src/meeting/closed.tsx'
import { Meeting } from '../src/meeting/meeting.tsx'
import { Waiting } from '../src/meeting/waiting.tsx'
import { Prejoin } from '../src/prejoin/prejoin.tsx'
import '../src/style/base.css'
import '../src/style/check.css'
import '../src/style/cluster.css'
import '../src/style/controls.css'
import '../src/style/entrance.css'
import '../src/style/meeting.css'
import '../src/style/panels.css'
import { FakeClient, type Scene } from './fake.ts'

// Draws one state of the app by the address: gallery.html#{"page":"meeting","people":3}
const scene = JSON.parse(decodeURIComponent(location.hash.slice(1))) as Scene & { page: string; token?: boolean }
if (scene.token) sessionStorage.setItem('parley.token', 'x')
const client = new FakeClient(scene) as unknown as Client
const root = document.getElementById('app') as HTMLElement
const ignore = (): void => undefined

if (scene.page === 'prejoin') await client.local.setMicrophoneOn(true)
if (scene.page === 'meeting') {
  await client.local.setMicrophoneOn(true)
  await client.local.openCamera()
}

const answers = (states: Record<string, State>): Check[] =>
  Object.entries(states).map(([id, state]) => ({
    id,
    plane: id.split('.')[0] as Plane,
    name: id,
    state,
    tookMs: 12,
    ...(state === 'ok' ? { found: '76 packets, 0.0 % lost' } : {}),
    ...(state === 'fail'
      ? { cause: 'ICE: UDP blocked: no answer from 203.0.113.7:7881', hint: 'A firewall lets no UDP through.' }
      : {}),
    ...(state === 'skipped' ? { cause: 'because of ICE by UDP' } : {}),
  }))
const server = answers({ 'rest.livez': 'ok', 'token.join': 'ok', 'websocket.upgrade': 'ok' })
const blocked = answers({
  'ice.udp': 'fail',
  'dtls.udp': 'skipped',
  'rtp.udp': 'skipped',
  'ice.tcp': 'fail',
  'dtls.tcp': 'skipped',
  'rtp.tcp': 'skipped',
})
const relayed = answers({
  'ice.relay_tcp_candidate': 'ok',
  'ice.relay_tcp': 'ok',
  'dtls.relay_tcp': 'ok',
  'rtp.relay_tcp': 'ok',
})
const noRelay = answers({
  'ice.relay_tcp_candidate': 'fail',
  'ice.relay_tcp': 'skipped',
  'dtls.relay_tcp': 'skipped',
  'rtp.relay_tcp': 'skipped',
})

const pages: Record<string, () => preact.JSX.Element> = {
  home: () => <Home />,
  prejoin: () => <Prejoin client={client} name="Blue Room" host={false} onName={ignore} onJoin={ignore} />,
  waiting: () => <Waiting client={client} name="Blue Room" />,
  'check-relay': () => <CheckView progress="done" checks={[...server, ...blocked, ...relayed]} onStart={ignore} />,
  'check-bad': () => <CheckView progress="done" checks={[...server, ...blocked, ...noRelay]} onStart={ignore} />,
  closed: () => <Closed client={client} meetingId="mtg_8kq2v7x4n1" onBack={ignore} />,
  meeting: () => <Meeting client={client} meetingId="mtg_8kq2v7x4n1" />,
}
const page = pages[scene.page]
if (page) render(page(), root)
