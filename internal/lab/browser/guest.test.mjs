// Somebody with a browser joins a meeting in which others, who have none, are already.
import { after, before } from 'node:test'
import { Figures } from './figures.mjs'
import { pause, Person, until } from './person.mjs'
import { ready } from './rest.mjs'

const others = Number(process.env.LAB_OTHERS)
const talking = Number(process.env.LAB_VOICES) // of the others
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

figures.test('sees and hears all others', async () => {
  const start = Date.now()
  await guest.join(process.env.LAB_JOIN_URL)
  await until('all pictures move', 20_000, async () => (await guest.remoteTiles()).filter(tile => tile.inbound?.frames > 5).length === others)
  figures.note('from the click to moving pictures of all others, ms', Date.now() - start)
  const voices = async () => (await guest.sample()).inbound.filter(one => one.kind === 'audio' && one.energy > 0).length
  await until('all voices are heard', 10_000, async () => (await voices()) >= talking)
  await pause(4_000) // for the others to see and hear this one
  figures.hold('remote tiles', (await guest.remoteTiles()).length, String(others), (await guest.remoteTiles()).length === others)
})
