import type { Client } from '@parley-sfu/client'
import { render } from 'preact'
import { CheckView } from '../src/check/page.tsx'
import { Home } from '../src/home/home.tsx'
import { Closed } from '../src/meeting/closed.tsx'
import { Meeting } from '../src/meeting/meeting.tsx'
import { Waiting } from '../src/meeting/waiting.tsx'
import { Prejoin } from '../src/prejoin/prejoin.tsx'
import '../src/style/base.css'
import '../src/style/check.css'
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

const pages: Record<string, () => preact.JSX.Element> = {
  home: () => <Home />,
  prejoin: () => <Prejoin client={client} name="Blue Room" host={false} onName={ignore} onJoin={ignore} />,
  waiting: () => <Waiting client={client} name="Blue Room" />,
  closed: () => <Closed client={client} meetingId="mtg_8kq2v7x4n1" onBack={ignore} />,
  meeting: () => <Meeting client={client} meetingId="mtg_8kq2v7x4n1" />,
}
const page = pages[scene.page]
if (page) render(page(), root)
