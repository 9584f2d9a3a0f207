import { ParleyError } from '@parley-sfu/client'
import type { JSX } from 'preact'
import { useEvents } from '../hooks.ts'
import { CameraButton, MicButton } from '../prejoin/preview.tsx'
import { RoundButton } from '../ui/button.tsx'
import { useMeeting } from './context.ts'
import type { Layout } from './stage.tsx'

/** What lies beside the stage. */
export type Side = 'chat' | 'people' | 'stats' | undefined

/** What the bar needs to know and can ask for. */
export interface ControlsProps {
  side: Side
  layout: Layout
  unread: number
  onSide: (side: Side) => void
  onLayout: (layout: Layout) => void
  onDevices: () => void
  onEnd: () => void
  onProblem: (problem: ParleyError) => void
}

/** The bar below the stage. */
export function Controls(props: ControlsProps): JSX.Element {
  const { client } = useMeeting()
  useEvents(client, 'participants', 'state')
  const { local } = client
  const publishes = client.self.role !== 'viewer'
  const toggle = (side: Side): void => props.onSide(props.side === side ? undefined : side)
  return (
    <div class="controls" role="toolbar" aria-label="Meeting controls">
      <div class="controls-group controls-left">
        <RoundButton icon="devices" label="Devices" testId="devices" onClick={props.onDevices} />
      </div>
      <div class="controls-group controls-middle">
        {publishes && <MicButton local={local} shortcut="m" />}
        {publishes && <CameraButton local={local} shortcut="v" />}
        <HandButton />
        {publishes && canShare() && <ScreenButton onProblem={props.onProblem} />}
        <LayoutButton layout={props.layout} onLayout={props.onLayout} />
        <RoundButton icon="leave" label="Leave" testId="leave" tone="danger" onClick={() => client.leave()} />
        {client.self.role === 'host' && (
          <RoundButton icon="end" label="End for everyone" testId="end" onClick={props.onEnd} />
        )}
      </div>
      <div class="controls-group controls-right">
        <SideButton icon="people" label="People" side="people" shortcut="p" props={props} onToggle={toggle} badge={0} />
        <SideButton
          icon="chat"
          label="Chat"
          side="chat"
          shortcut="c"
          props={props}
          onToggle={toggle}
          badge={props.unread}
        />
        <SideButton
          icon="stats"
          label="Statistics"
          side="stats"
          shortcut="i"
          props={props}
          onToggle={toggle}
          badge={0}
        />
      </div>
    </div>
  )
}

interface SideButtonProps {
  icon: 'people' | 'chat' | 'stats'
  label: string
  side: 'people' | 'chat' | 'stats'
  shortcut: string
  badge: number
  props: ControlsProps
  onToggle: (side: Side) => void
}

function SideButton({ icon, label, side, shortcut, badge, props, onToggle }: SideButtonProps): JSX.Element {
  const open = props.side === side
  return (
    <RoundButton
      icon={icon}
      label={label}
      testId={side}
      pressed={open}
      tone={open ? 'active' : 'plain'}
      shortcut={shortcut}
      badge={badge}
      onClick={() => onToggle(side)}
    />
  )
}

function HandButton(): JSX.Element {
  const { client } = useMeeting()
  const raised = client.handRaised
  return (
    <RoundButton
      icon="hand"
      label={raised ? 'Lower hand' : 'Raise hand'}
      testId="hand"
      pressed={raised}
      tone={raised ? 'raised' : 'plain'}
      shortcut="h"
      onClick={() => client.raiseHand(!raised)}
    />
  )
}

function ScreenButton({ onProblem }: { onProblem: (problem: ParleyError) => void }): JSX.Element {
  const { client } = useMeeting()
  const on = client.local.screenOn
  const toggle = (): void => {
    if (on) client.local.closeScreen()
    else client.shareScreen().catch(error => onProblem(ParleyError.from(error)))
  }
  return (
    <RoundButton
      icon="screen"
      label={on ? 'Stop sharing' : 'Share screen'}
      testId="screen"
      pressed={on}
      tone={on ? 'active' : 'plain'}
      shortcut="s"
      onClick={toggle}
    />
  )
}

function LayoutButton(props: { layout: Layout; onLayout: (layout: Layout) => void }): JSX.Element {
  const grid = props.layout === 'grid'
  return (
    <RoundButton
      icon={grid ? 'speaker' : 'grid'}
      label={grid ? 'Speaker view' : 'Grid view'}
      testId="layout"
      shortcut="l"
      onClick={() => props.onLayout(grid ? 'speaker' : 'grid')}
    />
  )
}

/** Phones cannot share their screen. */
function canShare(): boolean {
  return typeof navigator.mediaDevices?.getDisplayMedia === 'function'
}
