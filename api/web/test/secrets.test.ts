import { beforeEach, expect, test } from 'vitest'
import { adoptSecrets, hostKey, userToken } from '../src/secrets.ts'

class Memory {
  readonly #values = new Map<string, string>()
  getItem = (key: string): string | null => this.#values.get(key) ?? null
  setItem = (key: string, value: string): void => void this.#values.set(key, value)
}

let storage: Storage
let shown: string | undefined
beforeEach(() => {
  storage = new Memory() as unknown as Storage
  shown = undefined
})

function open(pathname: string, hash: string): void {
  const history = { state: null, replaceState: (_state: unknown, _title: string, url: string) => (shown = url) }
  adoptSecrets({ pathname, hash, search: '' } as Location, history as unknown as History, storage)
}

test('a user token moves from the address into the tab', () => {
  open('/', '#token=abc.def')
  expect(userToken(storage)).toBe('abc.def')
  expect(shown).toBe('/')
})

test('a host key belongs to its meeting alone', () => {
  open('/m/mtg_a', '#host_key=k1')
  expect(hostKey(storage, 'mtg_a')).toBe('k1')
  expect(hostKey(storage, 'mtg_b')).toBeUndefined()
  expect(shown).toBe('/m/mtg_a')
})

test('the rest of the fragment stays, and an address without one is left alone', () => {
  open('/m/mtg_a', '#host_key=k1&x=2')
  expect(shown).toBe('/m/mtg_a#x=2')
  shown = undefined
  open('/m/mtg_a', '')
  expect(shown).toBeUndefined()
})
