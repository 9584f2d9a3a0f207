import { afterEach, expect, test, vi } from 'vitest'
import { Rest } from '../src/rest.ts'

afterEach(() => {
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

/** A network where each URL answers after its own time, or never when that is undefined. */
function network(delays: Record<string, number | undefined>, regions: string[]): string[] {
  const asked: string[] = []
  vi.useFakeTimers()
  vi.stubGlobal('fetch', async (url: string) => {
    asked.push(url)
    if (url.endsWith('/v1/regions')) {
      return new Response(JSON.stringify({ regions: regions.map(name => ({ name, probe_url: `http://${name}/` })) }))
    }
    const delay = delays[url]
    if (delay === undefined) throw new TypeError('unreachable')
    await new Promise(resolve => setTimeout(resolve, delay))
    return new Response()
  })
  return asked
}

test('regions are measured side by side, and the unreachable are left out', async () => {
  network({ 'http://near/': 20, 'http://far/': 90 }, ['near', 'far', 'gone'])
  const measured = new Rest('http://here').measureRegions()
  await vi.advanceTimersByTimeAsync(3 * 90)
  expect(await measured).toEqual({ near: 20, far: 90 })
})

test('where there is one region nothing is measured', async () => {
  const asked = network({ 'http://near/': 20 }, ['near'])
  expect(await new Rest('http://here').measureRegions()).toEqual({})
  expect(asked).toEqual(['http://here/v1/regions'])
})

test('a server that does not answer has no regions', async () => {
  vi.stubGlobal('fetch', () => Promise.reject(new TypeError('offline')))
  expect(await new Rest('http://here').measureRegions()).toEqual({})
})
