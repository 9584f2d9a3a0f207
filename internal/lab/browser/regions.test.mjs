// Three people with browsers of their own, who come into one meeting through nodes in three regions; an operator watches.
import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { Figures } from './figures.mjs'
import { pause, Person } from './person.mjs'
import { newMeeting, ready, token, url } from './rest.mjs'

/** Where the page of each region's node is. */
const doors = process.env.LAB_DOORS.split(' ')
const figures = new Figures()
/** Four pages that show pictures are a lot for two processors that draw them as well: as little as tells what is looked for here. */
const little = { viewport: { width: 800, height: 600 }, capture: { width: 480, height: 270, frameRate: 10 } }
let everybody

before(async () => {
  await ready()
  everybody = await Promise.all(['Ann', 'Ben', 'Cleo'].map(name => Person.come(name, little)))
})

after(async () => {
  figures.print()
  await Promise.all(everybody.map(person => person.go()))
})

figures.test('people of three regions see and hear each other', async () => {
  const meeting = await newMeeting('Three regions')
  for (const [i, person] of everybody.entries()) await person.join(`${doors[i]}/m/${meeting.id}?region=region-${i + 1}`)
  for (const person of everybody) await person.watches(everybody.filter(other => other !== person))
  const energy = async person => (await person.sample()).inbound.filter(one => one.kind === 'audio').map(one => one.energy)
  const earlier = await Promise.all(everybody.map(energy))
  await pause(3_000) // the fake microphones beep once a second
  const later = await Promise.all(everybody.map(energy))
  const heard = later.map((list, i) => list.filter((one, n) => one > (earlier[i][n] ?? 0)).length)
  figures.hold('remote voices heard, least of all pages', Math.min(...heard), '2', heard.every(one => one === 2))
})

figures.test('a raised hand is seen in all regions within 500 ms', async () => {
  const [ann, ben, cleo] = everybody
  const at = await ann.click('hand')
  const seen = await Promise.all([ben, cleo].map(person => person.sees(ann.id, 'hand_raised', true, at)))
  const slowest = Math.max(...seen) - at
  figures.hold('hand raised to seen in all regions, ms', slowest, '< 500', slowest < 500)
})

figures.test('the cluster page shows three regions, each with somebody, and links between them', async () => {
  const page = await everybody[0].browser.newPage({ viewport: { width: 1280, height: 800 } })
  await page.goto(`${url}/cluster#token=${token}`)
  await page.waitForFunction(() => document.querySelector('[data-testid=sum]')?.textContent.includes('3 participants'), undefined, { timeout: 10_000 })
  assert.equal(await page.getByTestId('region').count(), 3)
  assert.equal(await page.getByTestId('room').count(), 1)
  const links = await page.getByTestId('link').count()
  figures.hold('ends of links on the cluster page', links, '6', links === 6)
  await page.screenshot({ path: `${process.env.ARTIFACTS}/cluster.png` })
  await page.getByRole('button', { name: 'Drain' }).nth(2).click()
  await page.getByText('draining').waitFor({ timeout: 3_000 })
  await page.getByRole('button', { name: 'Undrain' }).click()
  await page.getByText('draining').waitFor({ state: 'detached', timeout: 3_000 })
})

figures.test('a node drains, and whoever is on it goes on in the middle of the call', async () => {
  const [ann, ben, cleo] = everybody
  const operator = await ann.browser.newPage({ viewport: { width: 1280, height: 800 } })
  await operator.goto(`${url}/cluster#token=${token}`)
  const exchanges = await Promise.all([ann.exchanges(), ben.exchanges()])
  const watched = [
    { by: ann, of: cleo },
    { by: ben, of: cleo },
    { by: cleo, of: ann },
  ].map(({ by, of }) => ({ by, of, frames: -1, at: Date.now(), longest: 0 }))
  let watching = true
  const watch = (async () => {
    while (watching) {
      for (const one of watched) {
        const tile = (await one.by.remoteTiles()).find(tile => tile.participant === one.of.id)
        const frames = tile?.inbound?.frames ?? one.frames
        one.longest = Math.max(one.longest, Date.now() - one.at)
        if (frames !== one.frames) Object.assign(one, { frames, at: Date.now() })
      }
      await pause(100)
    }
  })()
  await operator.getByRole('button', { name: 'Drain' }).nth(2).click()
  const third = operator.getByTestId('region').nth(2)
  await third.getByText('0 participants').waitFor({ timeout: 20_000 })
  await pause(3_000)
  watching = false
  await watch
  const longest = Math.max(...watched.map(one => one.longest))
  figures.hold('longest time without a new picture, ms', longest, '< 1500', longest < 1_500)
  const later = await Promise.all([ann.exchanges(), ben.exchanges()])
  const cost = later.flatMap((count, i) => [count.page - exchanges[i].page, count.browser - exchanges[i].browser])
  figures.hold('SDP exchanges that it costs the others', Math.max(...cost), '0', cost.every(one => one === 0))
  const energy = async person => (await person.sample()).inbound.filter(one => one.kind === 'audio').map(one => one.energy)
  const earlier = await Promise.all(everybody.map(energy))
  await pause(3_000)
  const now = await Promise.all(everybody.map(energy))
  const heard = now.map((list, i) => list.filter((one, n) => one > (earlier[i][n] ?? 0)).length)
  figures.hold('remote voices heard afterwards, least of all pages', Math.min(...heard), '2', heard.every(one => one === 2))
  for (const person of everybody) {
    assert.equal(await person.page.evaluate(() => window.parley.state), 'joined')
    await person.screenshot(`drained-${person.name}`)
  }
})
