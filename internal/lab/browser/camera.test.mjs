// Somebody with a camera is in a meeting until there is a file CAMERA_DIR/end.
import { existsSync } from 'node:fs'
import { after, before } from 'node:test'
import { Figures } from './figures.mjs'
import { pause, Person } from './person.mjs'
import { ready } from './rest.mjs'

const figures = new Figures()
let sender

before(async () => {
  await ready()
  sender = await Person.come('Camera', { capture: { width: 960, height: 540, frameRate: 30 }, viewport: { width: 400, height: 300 } })
})

after(async () => {
  figures.print()
  await sender?.go()
})

/** What the browser sends, by rid: its size and frames a second. */
const sending = () =>
  sender.page.evaluate(async () => {
    const all = []
    for (const connection of window.lab.connections) {
      for (const one of (await connection.getStats()).values()) {
        if (one.type === 'outbound-rtp' && one.kind === 'video') all.push(`${one.rid} ${one.frameWidth} ${one.framesPerSecond} ${one.scalabilityMode}`)
      }
    }
    return all.sort().join(', ')
  })

figures.test('is seen', async () => {
  await sender.join(process.env.LAB_JOIN_URL)
  let last = ''
  while (!existsSync(`${process.env.CAMERA_DIR}/end`)) {
    await pause(500)
    last = (await sending()) || last
  }
  figures.note('sent at last: rid, width, frames a second, layers', last)
})
