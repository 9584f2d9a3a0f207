import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { CheckPage } from './check/page.tsx'
import { ClusterPage } from './cluster/cluster.tsx'
import { Home } from './home/home.tsx'
import { Room } from './room.tsx'
import { routeOf } from './route.ts'

/** The whole app: one page by the address. */
export function App(): JSX.Element {
  const [route] = useState(() => routeOf(location.pathname))
  switch (route.page) {
    case 'home':
      return <Home />
    case 'meeting':
      return <Room meetingId={route.id} />
    case 'cluster':
      return <ClusterPage />
    case 'test':
      return <CheckPage />
    case 'missing':
      return (
        <main class="notice">
          <h1>Nothing here</h1>
          <p>This link does not lead to a meeting.</p>
          <a class="primary" href="/">
            To the start
          </a>
        </main>
      )
  }
}
