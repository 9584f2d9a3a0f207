import { expect, test } from 'vitest'
import { Outlet } from '../src/outlet.ts'

interface Encoding {
  active: boolean
  scalabilityMode?: string
  scaleResolutionDownBy?: number
}

/** A sending m-line without a browser, and what was set of it, in order. */
function line(...encodings: Encoding[]): { transceiver: RTCRtpTransceiver; set: Encoding[][] } {
  const set: Encoding[][] = []
  const sender = {
    getParameters: () => structuredClone({ encodings: set.at(-1) ?? encodings }),
    setParameters: async (parameters: { encodings: Encoding[] }) => void set.push(parameters.encodings),
  }
  return { transceiver: { sender } as unknown as RTCRtpTransceiver, set }
}

test('sends no size of one stream that nobody watches, and all again when somebody does', async () => {
  const { transceiver, set } = line({ active: true, scalabilityMode: 'L3T3_KEY' })
  const outlet = new Outlet('camera', transceiver, 'L3T3_KEY')
  await outlet.setLayers({ layers: ['f'] })
  expect(set).toEqual([])
  for (const sizes of [2, 1, 1, undefined]) await outlet.setLayers({ layers: ['f'], sizes })
  expect(set.map(([one]) => [one?.scalabilityMode, one?.scaleResolutionDownBy])).toEqual([
    ['L2T3_KEY', 2],
    ['L1T3', 4],
    ['L3T3_KEY', 1],
  ])
  await outlet.setLayers({ layers: [] })
  expect(set.at(-1)?.[0]).toMatchObject({ active: false, scalabilityMode: 'L3T3_KEY' })
  await outlet.setLayers({ layers: ['f'], sizes: 1 })
  expect(set.at(-1)?.[0]).toMatchObject({ active: true, scalabilityMode: 'L1T3' })
})

test('leaves a simulcast alone', async () => {
  const { transceiver, set } = line({ active: true })
  await new Outlet('camera', transceiver).setLayers({ layers: ['f'], sizes: 1 })
  expect(set).toEqual([])
})
