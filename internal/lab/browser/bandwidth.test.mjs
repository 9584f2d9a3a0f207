// Somebody watches a meeting over a link that the test outside changes. What the browser counts is written down a few times a
// second, a line of JSON each, into BANDWIDTH_DIR/looks, until there is a file BANDWIDTH_DIR/end.
import { appendFileSync, existsSync, renameSync, writeFileSync } from 'node:fs'
import { after, before } from 'node:test'
import { Figures } from './figures.mjs'
import { pause, Person, until } from './person.mjs'
import * as receiver from './receiver.mjs'
import { ready } from './rest.mjs'

const dir = process.env.BANDWIDTH_DIR
const cameras = Number(process.env.BANDWIDTH_CAMERAS)
const every = 250
const figures = new Figures()
let viewer

before(async () => {
  await ready()
  viewer = await Person.come('Viewer', { capture: { width: 320, height: 180, frameRate: 10 }, viewport: { width: 1600, height: 1000 } })
  await viewer.page.addInitScript(receiver.sharpScreen)
})

after(async () => {
  figures.print()
  await viewer?.go()
})

figures.test('watches', async () => {
  await viewer.join(process.env.LAB_JOIN_URL, { camera: false })
  await until('all pictures move', 30_000, async () => (await viewer.remoteTiles()).filter(tile => tile.inbound?.frames > 5).length === cameras)
  writeFileSync(`${dir}/joined.part`, await viewer.page.evaluate(() => window.parley.self.id))
  renameSync(`${dir}/joined.part`, `${dir}/joined`)
  let looks = 0
  for (; !existsSync(`${dir}/end`); looks++) {
    const next = Date.now() + every
    appendFileSync(`${dir}/looks`, `${JSON.stringify(await viewer.page.evaluate(receiver.look))}\n`)
    await pause(Math.max(0, next - Date.now()))
  }
  if (process.env.BANDWIDTH_SHOT) {
    await viewer.click('stats')
    await pause(2_500)
    await viewer.screenshot(process.env.BANDWIDTH_SHOT)
    const told = await viewer.page.getByTestId('downlink').allInnerTexts()
    figures.hold('the statistics tell of the downlink', told.join(' ').replaceAll('\n', ' '), 'something', told.length === 1)
  }
  figures.note('times that the browser was asked', looks)
})
