import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Network } from '../src/network.ts'

class Connection extends EventTarget {
  type = 'wifi'
}

const connection = new Connection()
let machine: EventTarget
let navigator: { onLine: boolean; connection: Connection }
let network: Network
let changes: number

beforeEach(() => {
  machine = new EventTarget()
  navigator = { onLine: true, connection }
  connection.type = 'wifi'
  changes = 0
  vi.stubGlobal('navigator', navigator)
  vi.stubGlobal('addEventListener', machine.addEventListener.bind(machine))
  network = new Network()
  network.on('changed', () => changes++)
})
afterEach(() => {
  network.close()
  vi.unstubAllGlobals()
})

/** The connection is of another type, or only of another speed. */
function become(type: string): void {
  connection.type = type
  connection.dispatchEvent(new Event('change'))
}

test('a machine that is online again may have another address', () => {
  navigator.onLine = false
  machine.dispatchEvent(new Event('offline'))
  expect([network.online, changes]).toEqual([false, 0])
  navigator.onLine = true
  machine.dispatchEvent(new Event('online'))
  expect([network.online, changes]).toEqual([true, 1])
})

test('so may one whose connection is of another type, but not one of another speed', () => {
  become('wifi')
  expect(changes).toBe(0)
  become('none')
  expect(changes).toBe(0)
  become('cellular')
  expect(changes).toBe(1)
})

test('nothing is told after the end', () => {
  network.close()
  machine.dispatchEvent(new Event('online'))
  become('cellular')
  expect(changes).toBe(0)
})
