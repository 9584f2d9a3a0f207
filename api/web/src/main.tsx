import { render } from 'preact'
import { App } from './app.tsx'
import { adoptSecrets } from './secrets.ts'
import './style/base.css'
import './style/check.css'
import './style/cluster.css'
import './style/controls.css'
import './style/entrance.css'
import './style/meeting.css'
import './style/panels.css'

adoptSecrets(location, history, sessionStorage)
const root = document.getElementById('app')
if (root) render(<App />, root)
