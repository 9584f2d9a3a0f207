// Somebody with a browser joins a meeting in which somebody speaks, again and again: how long it takes until the first packet of
// the voice is there, and where the time goes.
import { after, before } from 'node:test'
import { Figures } from './figures.mjs'
import { pause, Person, until } from './person.mjs'
import * as probe from './probe.mjs'
import { ready } from './rest.mjs'

const joins = process.env.LAB_FULL ? 15 : 5
const budget = 410 // ms, SPEC.md section 10
const figures = new Figures()
let guest

before(async () => {
  await ready()
  guest = await Person.come('Guest', { capture: { width: 320, height: 180, frameRate: 15 } })
})

after(async () => {
  figures.print()
  await guest?.go()
})

figures.test('hears a voice soon after the click', async () => {
  const measured = []
  const exchanges = []
  while (measured.length < joins) {
    await guest.join(process.env.LAB_JOIN_URL)
    await until('a voice is heard', 10_000, () => guest.page.evaluate(() => ['voice', 'accepted', 'ice', 'dtls', 'audio'].every(step => window.lab.marks[step])))
    measured.push(await guest.page.evaluate(probe.timeline))
    exchanges.push((await guest.exchanges()).browser)
    await guest.page.goto('about:blank')
    await pause(500) // for the others to see this one go
  }
  for (const step of Object.keys(measured[0])) {
    const all = measured.map(one => one[step])
    figures.note(`${step}, ms (of ${all.map(one => one.toFixed()).join(' ')})`, middle(all))
  }
  const voice = middle(measured.map(one => one.voice))
  figures.hold('first packet of the voice, ms, in the middle', voice, `<= ${budget}`, voice <= budget)
  figures.hold('exchanges of SDP a join', exchanges.join(' '), '1 each', exchanges.every(count => count === 1))
})

function middle(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1]
}
