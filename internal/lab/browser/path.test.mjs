// Two people meet, and it is seen over what their media goes.
import { after, before } from 'node:test'
import { Figures } from './figures.mjs'
import { pause, Person } from './person.mjs'
import { newMeeting, ready } from './rest.mjs'

const figures = new Figures()
let people = []

before(async () => {
  await ready()
  people = await Promise.all(['Near', 'Far'].map(name => Person.come(name, { capture: { width: 320, height: 180, frameRate: 15 } })))
})

after(async () => {
  figures.print()
  await Promise.all(people.map(person => person.go()))
})

figures.test('both see each other, over what was expected', async () => {
  const meeting = await newMeeting('Over another way')
  const [near, far] = people
  await near.join(meeting.host_url)
  await far.join(meeting.join_url)
  await Promise.all([near.watches([far], 30_000), far.watches([near], 30_000)])
  for (const person of people) {
    const path = await settled(person)
    figures.hold(`${person.name}: transport and server's address`, path, process.env.LAB_PATH, path === process.env.LAB_PATH)
  }
})

/** What media goes over once the browser has tried everything: it begins with the first pair that answers, which may be the relay. */
async function settled(person) {
  const deadline = Date.now() + 5_000
  for (;;) {
    const path = await person.page.evaluate(selected)
    if (path === process.env.LAB_PATH || Date.now() > deadline) return path
    await pause(100)
  }
}

/** Runs in the page: what the selected pair leads to. */
async function selected() {
  for (const connection of window.lab.connections) {
    const all = await connection.getStats()
    for (const one of all.values()) {
      if (one.type !== 'transport' || !one.selectedCandidatePairId) continue
      const to = all.get(all.get(one.selectedCandidatePairId).remoteCandidateId)
      return `${to.protocol} ${to.address.replace(/[[\]]/g, '')}`
    }
  }
  return ''
}
