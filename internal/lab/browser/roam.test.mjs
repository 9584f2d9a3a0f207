// Somebody with a browser is in a call and changes networks, which the test outside does; it says when in files of ROAM_DIR.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { after, before } from 'node:test'
import { Figures } from './figures.mjs'
import { pause, Person, until } from './person.mjs'
import { ready } from './rest.mjs'

const dir = process.env.ROAM_DIR
const moves = Number(process.env.ROAM_MOVES)
const figures = new Figures()
let guest

before(async () => {
  await ready()
  guest = await Person.come('Guest', { capture: { width: 640, height: 360, frameRate: 15 } })
})

after(async () => {
  figures.print()
  await guest?.go()
})

/** What has come so far. */
async function received() {
  const { inbound } = await guest.sample()
  const sum = count => inbound.reduce((total, one) => total + count(one), 0)
  return {
    sound: sum(one => (one.kind === 'audio' ? one.packets : 0)),
    picture: sum(one => (one.kind === 'video' ? one.packets : 0)),
    frames: sum(one => one.frames),
  }
}

/** How long after a moment each of that has grown, in milliseconds. */
async function back(before, since) {
  const after = {}
  await until('sound, picture and frames come again', 30_000, async () => {
    const now = await received()
    for (const what of Object.keys(before)) if (now[what] > before[what] + 1) after[what] ??= Date.now() - since
    return Object.keys(after).length === 3
  })
  return after
}

figures.test('comes back by itself after each change of network', async () => {
  await guest.join(process.env.LAB_JOIN_URL)
  const id = await guest.page.evaluate(() => window.parley.self.id)
  await guest.page.evaluate(() => {
    window.lab.mark = 'the page was never loaded anew'
  })
  await until('the picture moves', 20_000, async () => (await guest.remoteTiles()).some(tile => tile.inbound?.frames > 5))
  writeFileSync(`${dir}/joined`, id)
  for (let i = 0; i < moves; i++) {
    await until(`move ${i} begins`, 60_000, () => existsSync(`${dir}/down-${i}`))
    let before = await received()
    let shot = false
    while (!existsSync(`${dir}/up-${i}`)) {
      before = await received()
      if (!shot && (await guest.page.getByTestId('reconnecting').count()) > 0) {
        await pause(300)
        await guest.screenshot(`reconnecting-${i}`)
        shot = true
      }
      await pause(20)
    }
    const up = Number(readFileSync(`${dir}/up-${i}`, 'utf8'))
    writeFileSync(`${dir}/back-${i}`, JSON.stringify(await back(before, up)))
  }
  await until('the test is over', 60_000, () => existsSync(`${dir}/end`))
  const now = await guest.page.evaluate(() => ({ id: window.parley.self.id, mark: window.lab.mark, connections: window.lab.connections.length }))
  figures.hold('the same participant', now.id === id, 'true', now.id === id)
  figures.hold('the page', now.mark ?? 'was loaded anew', 'never loaded anew', now.mark !== undefined)
  figures.hold('peer connections', now.connections, '1', now.connections === 1)
  await guest.screenshot('reconnected')
})
