import { LocalMedia } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { useEvents } from '../hooks.ts'
import { Meter } from '../prejoin/meter.tsx'
import { CameraButton, MicButton, useCameraStream } from '../prejoin/preview.tsx'
import { meetingIn } from '../route.ts'
import { userToken } from '../secrets.ts'
import { Icon } from '../ui/icon.tsx'
import { Logo } from '../ui/logo.tsx'
import { Picture } from '../ui/picture.tsx'
import { type Check, reportOf, type State, type Verdict, verdictOf } from './checks.ts'
import { Examination, type Place } from './examine.ts'
import { ways } from './ways.ts'

type Progress = 'idle' | 'running' | 'done'

/** The connection test: which plane is broken, in words that somebody can act on. */
export function CheckPage(): JSX.Element {
  const [checks, setChecks] = useState<readonly Check[]>([])
  const [progress, setProgress] = useState<Progress>('idle')
  const start = async (): Promise<void> => {
    setProgress('running')
    setChecks([])
    await new Examination(placeOf(location, sessionStorage), setChecks).run()
    setProgress('done')
  }
  return <CheckView checks={checks} progress={progress} onStart={() => void start()} />
}

/** The server of this page, and the meeting that led here, if one did (`/test?meeting=…`). */
function placeOf(location: Location, storage: Storage): Place {
  const token = userToken(storage)
  const meetingId = meetingIn(new URLSearchParams(location.search).get('meeting') ?? '')
  return { base: location.origin, ...(token ? { userToken: token } : {}), ...(meetingId ? { meetingId } : {}) }
}

/** What the page shows of a test. */
export interface CheckViewProps {
  checks: readonly Check[]
  progress: Progress
  onStart: () => void
}

export function CheckView({ checks, progress, onStart }: CheckViewProps): JSX.Element {
  const verdict = progress === 'done' ? verdictOf(checks) : undefined
  return (
    <div class="check-page">
      <header class="home-head">
        <a href="/" aria-label="Parley, to the start">
          <Logo />
        </a>
      </header>
      <main class="check-main">
        <Summary checks={checks} progress={progress} verdict={verdict} onStart={onStart} />
        {progress !== 'idle' && (
          <>
            <Group title="Server" checks={checks.filter(one => ['rest', 'token', 'websocket'].includes(one.plane))} />
            <Paths checks={checks} />
          </>
        )}
        <DevicesCheck />
      </main>
    </div>
  )
}

const titles: Record<Exclude<Progress, 'done'>, string> = {
  idle: 'Will calls work from here?',
  running: 'Testing the connection…',
}

function Summary(props: CheckViewProps & { verdict: Verdict | undefined }): JSX.Element {
  const { checks, progress, verdict, onStart } = props
  const now = checks.find(one => one.state === 'running')
  const tone = verdict?.tone ?? progress
  return (
    <section class={`check-summary check-${tone}`} data-testid="verdict" data-progress={progress} aria-live="polite">
      <span class="check-sign" aria-hidden="true">
        {progress === 'running' ? <span class="spinner" /> : <Icon name={signs[tone] ?? 'help'} size={30} />}
      </span>
      <div>
        <h1>{verdict?.text ?? titles[progress as Exclude<Progress, 'done'>]}</h1>
        <p class="quiet check-lead">{now ? `${now.name}…` : explanations[tone]}</p>
      </div>
      <div class="row">
        <button
          type="button"
          class="primary large"
          data-testid="start-test"
          disabled={progress === 'running'}
          onClick={onStart}
        >
          {progress === 'idle' ? 'Start the test' : progress === 'running' ? 'Testing…' : 'Test again'}
        </button>
        {progress === 'done' && <Copy checks={checks} />}
      </div>
    </section>
  )
}

const signs: Record<string, 'check' | 'close' | 'link' | 'help'> = { good: 'check', detour: 'link', bad: 'close' }

const explanations: Record<string, string> = {
  idle: 'Some fifteen seconds, without camera or microphone: the test sends a quiet tone to itself, and nobody hears it.',
  running: '',
  good: 'Sound and picture go the shortest way.',
  detour: 'The shortest way, UDP, is blocked. Calls work, and may suffer where the network is bad.',
  bad: 'What is broken is marked below; the report has all of it for whoever helps you.',
}

function Copy({ checks }: { checks: readonly Check[] }): JSX.Element {
  const [copied, setCopied] = useState(false)
  const text = useRef<HTMLTextAreaElement>(null)
  const report = reportOf(checks, { url: location.origin, browser: navigator.userAgent, at: new Date() })
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(report)
    } catch {
      text.current?.select() // without the right to write, or without TLS
      document.execCommand('copy')
    }
    setCopied(true)
    setTimeout(() => setCopied(false), 2_000)
  }
  return (
    <>
      <button type="button" class="secondary large" data-testid="copy-report" onClick={() => void copy()}>
        {copied ? 'Copied' : 'Copy report'}
      </button>
      <textarea
        ref={text}
        class="unseen"
        data-testid="report"
        tabIndex={-1}
        aria-hidden="true"
        readOnly
        value={report}
      />
    </>
  )
}

function Group({ title, checks }: { title: string; checks: readonly Check[] }): JSX.Element {
  return (
    <section class="check-group">
      <h2>{title}</h2>
      <ul>
        {checks.map(one => (
          <Row key={one.id} id={one.id} name={one.name} state={one.state} {...textOf(one)} tookMs={one.tookMs} />
        ))}
      </ul>
    </section>
  )
}

/** The ways of sound and picture, each with its planes in one row. */
function Paths({ checks }: { checks: readonly Check[] }): JSX.Element {
  const stun = checks.filter(one => one.id === 'ice.stun')
  const all = ways.map(way => {
    const own = checks.filter(one => one.id === `ice.${way.id}_candidate` || one.id.endsWith(`.${way.id}`))
    return { id: way.id as string, name: way.relay ? `Relay over ${way.relay}` : way.name, own }
  })
  const asked = all.filter(({ own }) => own.some(one => one.state !== 'skipped'))
  const resting = all.filter(({ own }) => own.length > 0 && !asked.some(row => row.own === own))
  // What was not asked shares a row.
  const rows =
    resting.length > 1
      ? [...asked, { id: 'resting', name: shared(resting.map(row => row.name)), own: resting.flatMap(row => row.own) }]
      : [...asked, ...resting]
  return (
    <section class="check-group">
      <h2>Sound and picture</h2>
      <ul>
        {stun.map(one => (
          <Row key={one.id} id={one.id} name={one.name} state={one.state} {...textOf(one)} tookMs={one.tookMs} />
        ))}
        {rows.map(({ id, name, own }) => {
          const telling = own.find(one => one.state !== 'ok') ?? own.at(-1)
          return (
            <Row key={id} id={id} name={name} state={worst(own)} {...(telling ? textOf(telling) : {})} planes={own} />
          )
        })}
      </ul>
    </section>
  )
}

/** Several ways by one name: relays by theirs. */
function shared(names: readonly string[]): string {
  return names.every(name => name.startsWith('Relay')) ? 'Relay' : names.join(', ')
}

/** The state of several checks together. */
function worst(checks: readonly Check[]): State {
  const order: State[] = ['fail', 'running', 'warn', 'skipped', 'ok']
  return order.find(state => checks.some(one => one.state === state)) ?? 'skipped'
}

function textOf(check: Check): { text: string; hint?: string } {
  const text = check.state === 'skipped' ? `Not asked ${check.cause ?? ''}` : (check.cause ?? check.found ?? '')
  return { text, ...(check.hint ? { hint: check.hint } : {}) }
}

const marks: Record<Exclude<State, 'running'>, 'check' | 'close' | 'help' | 'more'> = {
  ok: 'check',
  warn: 'help',
  fail: 'close',
  skipped: 'more',
}
const spoken: Record<State, string> = {
  ok: 'well',
  warn: 'doubtful',
  fail: 'broken',
  skipped: 'not asked',
  running: 'being asked',
}

interface RowProps {
  id: string
  name: string
  state: State
  text?: string
  hint?: string
  tookMs?: number | undefined
  planes?: readonly Check[]
}

function Row({ id, name, state, text, hint, tookMs, planes }: RowProps): JSX.Element {
  return (
    <li class={`check-row check-row-${state}`} data-testid={`check-${id}`} data-state={state}>
      <span class="check-mark">
        {state === 'running' ? <span class="spinner" /> : <Icon name={marks[state]} size={16} />}
        <span class="unseen">{spoken[state]}</span>
      </span>
      <b>{name}</b>
      <p class="check-text">
        {text}
        {hint && <small class="check-hint">{hint}</small>}
      </p>
      {planes && planes.length > 1 && state !== 'skipped' ? (
        <span class="check-planes">
          {planes.map(one => (
            <span key={one.id} class={`tag ${tags[one.state]}`} data-testid={one.id}>
              {one.id.endsWith('_candidate') ? 'candidate' : one.plane.toUpperCase()}
            </span>
          ))}
        </span>
      ) : (
        <span class="check-took">{tookMs === undefined ? '' : `${Math.round(tookMs)} ms`}</span>
      )}
    </li>
  )
}

const tags: Record<State, string> = { ok: 'tag-mint', warn: 'tag-amber', fail: 'tag-red', skipped: '', running: '' }

/** Microphone and camera, only for who wants it: the browser asks for permission. */
function DevicesCheck(): JSX.Element {
  const local = useMemo(() => new LocalMedia(), [])
  const [problem, setProblem] = useState('')
  useEvents(local, 'change')
  useEffect(() => local.on('problem', error => setProblem(error.message)), [local])
  useEffect(() => () => local.close(), [local])
  const stream = useCameraStream(local)
  return (
    <section class="check-group" data-testid="devices">
      <h2>Microphone and camera</h2>
      <div class="check-devices">
        <div class="check-picture">
          {stream ? <Picture stream={stream} mirrored /> : <Icon name="cameraOff" size={26} />}
        </div>
        <div>
          <p class="quiet">
            Separate from the connection, and only if you like: turn them on to see and hear what others would. Nothing
            leaves this page.
          </p>
          <div class="check-switches">
            <MicButton local={local} />
            <CameraButton local={local} />
            <Meter track={local.microphoneOn ? local.microphone : null} />
          </div>
          {problem && (
            <p class="problem" role="alert">
              {problem}
            </p>
          )}
        </div>
      </div>
    </section>
  )
}
