// Three people in a meeting and a fourth in the lobby, each with a browser of their own.
import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { Figures } from './figures.mjs'
import { pause, Person, until } from './person.mjs'
import { newMeeting, ready } from './rest.mjs'

const figures = new Figures()
let meeting
let ann, ben, cleo, dan

before(async () => {
  await ready()
  meeting = await newMeeting('Three people and one more')
  ;[ann, ben, cleo] = await Promise.all(['Ann', 'Ben', 'Cleo'].map(name => Person.come(name)))
})

after(async () => {
  figures.print()
  await Promise.all([ann, ben, cleo, dan].map(person => person?.go()))
})

figures.test('a third person joins without an SDP exchange of the others', async () => {
  await ann.join(meeting.host_url)
  await ben.join(meeting.join_url)
  await ann.watches([ben])
  await ben.watches([ann])
  await pause(1_000) // for whatever the second join may still set off
  const earlier = await Promise.all([ann.exchanges(), ben.exchanges()])
  await cleo.join(meeting.join_url)
  await Promise.all([ann.watches([ben, cleo]), ben.watches([ann, cleo]), cleo.watches([ann, ben])])
  const later = await Promise.all([ann.exchanges(), ben.exchanges()])
  const cost = later.flatMap((count, i) => [count.page - earlier[i].page, count.browser - earlier[i].browser])
  figures.hold('SDP exchanges that a third join costs', Math.max(...cost), '0', cost.every(one => one === 0))
})

figures.test('everybody sees the pictures of all others move', async () => {
  const everybody = [ann, ben, cleo]
  const earlier = await Promise.all(everybody.map(person => person.remoteTiles()))
  await pause(3_000)
  const later = await Promise.all(everybody.map(person => person.remoteTiles()))
  const advance = later.flatMap((tiles, i) => {
    assert.equal(tiles.length, 2, `${everybody[i].name} has one tile for each of the others`)
    return tiles.map(tile => (tile.inbound?.frames ?? 0) - (earlier[i].find(one => one.participant === tile.participant)?.inbound?.frames ?? 0))
  })
  figures.hold('remote tiles over all pages', advance.length, '6', advance.length === 6)
  figures.hold('frames decoded in 3 s, least of all tiles', Math.min(...advance), '>= 20', Math.min(...advance) >= 20)
  await ann.screenshot('meeting')
})

figures.test('everybody hears both others', async () => {
  const everybody = [ann, ben, cleo]
  const energy = async person => (await person.sample()).inbound.filter(one => one.kind === 'audio').map(one => one.energy)
  const earlier = await Promise.all(everybody.map(energy))
  await pause(3_000) // the fake microphones beep once a second
  const later = await Promise.all(everybody.map(energy))
  const heard = later.map((list, i) => list.filter((one, n) => one > (earlier[i][n] ?? 0)).length)
  figures.hold('remote voices heard, least of all pages', Math.min(...heard), '2', heard.every(one => one === 2))
})

figures.test('nobody is ever sent their own picture', async () => {
  for (const person of [ann, ben, cleo]) {
    const { tiles, own } = await person.sample()
    assert.equal(own, person.id)
    assert.deepEqual(tiles.filter(tile => !tile.self && tile.participant === own), [], `${person.name}: a remote tile of their own`)
    assert.ok(!(await person.slotOwners()).includes(own), `${person.name}: a slot carried their own track`)
    assert.equal(tiles.filter(tile => tile.self && tile.inbound).length, 0, `${person.name}: the own tile is not from the server`)
  }
  figures.note('own tracks among what was received', 0)
})

figures.test('a raised hand is seen by all within 500 ms', async () => {
  const at = await ann.click('hand')
  const seen = await Promise.all([ben, cleo].map(person => person.sees(ann.id, 'hand_raised', true, at)))
  const slowest = Math.max(...seen) - at
  figures.hold('hand raised to seen by all, ms', slowest, '< 500', slowest < 500)
  for (const person of [ben, cleo]) await person.page.getByTestId(`hand-${ann.id}`).waitFor({ timeout: 3_000 })
  const lowered = await ann.click('hand')
  await Promise.all([ben, cleo].map(person => person.sees(ann.id, 'hand_raised', false, lowered)))
})

figures.test('mute stops the sound and everybody sees it', async () => {
  const at = await ben.click('mic')
  const seen = await Promise.all([ann, cleo].map(person => person.sees(ben.id, 'audio_muted', true, at)))
  figures.note('muted to seen by all, ms', Math.max(...seen) - at)
  await pause(1_500) // what was on its way has arrived
  const energies = async () => (await cleo.sample()).inbound.filter(one => one.kind === 'audio').map(one => one.energy)
  const earlier = await energies()
  await pause(3_000)
  const rising = (await energies()).filter((one, i) => one > (earlier[i] ?? 0)).length
  figures.hold('voices that are heard with one muted', rising, '1', rising === 1)
  const back = await ben.click('mic')
  await Promise.all([ann, cleo].map(person => person.sees(ben.id, 'audio_muted', false, back)))
})

figures.test('a camera that is switched off leaves no moving picture', async () => {
  const at = await cleo.click('camera')
  await Promise.all([ann, ben].map(person => person.sees(cleo.id, 'video_muted', true, at)))
  await pause(1_000)
  const framesOfCleo = async () => (await ann.remoteTiles()).find(tile => tile.participant === cleo.id)?.inbound?.frames ?? 0
  const earlier = await framesOfCleo()
  await pause(1_500)
  assert.ok((await framesOfCleo()) - earlier <= 1, 'frames still arrive of a camera that is off')
  await cleo.click('camera')
  await until('Cleo is seen again', 10_000, async () => (await framesOfCleo()) > 0 && (await framesOfCleo()) > earlier)
})

figures.test('chat reaches everybody', async () => {
  const text = 'Good morning to <b>everybody</b>'
  await ann.page.getByTestId('chat').click()
  await ann.page.getByTestId('chat-input').fill(text)
  await ann.page.getByTestId('chat-send').click()
  for (const person of [ben, cleo]) {
    await person.page.waitForFunction(words => window.parley.messages.some(one => one.text === words), text, { timeout: 3_000 })
  }
  await ben.page.getByTestId('chat').click()
  await ben.page.getByText(text, { exact: true }).first().waitFor({ timeout: 3_000 }) // as text, not as markup
})

figures.test('who leaves is gone for the others', async () => {
  const at = await cleo.click('leave')
  for (const person of [ann, ben]) {
    await person.page.waitForFunction(id => !window.parley.roster.participants.some(one => one.id === id), cleo.id, { timeout: 3_000 })
    await until('the tile is gone', 3_000, async () => (await person.remoteTiles()).every(tile => tile.participant !== cleo.id))
  }
  figures.note('left to gone everywhere, ms', (await ann.page.evaluate(() => window.lab.now())) - at)
})

figures.test('a fourth person waits in the lobby until the host lets them in', async () => {
  await Promise.all([ben.go(), cleo.go()]) // their processor time is needed
  const closed = await newMeeting('With a lobby', { waiting_room: true })
  await ann.join(closed.host_url)
  dan = await Person.come('Dan')
  await dan.enter(closed.join_url)
  await dan.page.waitForFunction(() => window.parley?.state === 'waiting', undefined, { timeout: 10_000 })
  await dan.page.getByTestId('lobby').first().waitFor({ timeout: 5_000 })
  const told = await dan.page.evaluate(() => window.lab.messages.map(message => message.type))
  assert.deepEqual([...new Set(told)], ['room.waiting'], 'who waits is told nothing but that')
  await ann.page.waitForFunction(() => window.parley.roster.waiting.length === 1, undefined, { timeout: 5_000 })
  const admit = ann.page.getByTestId(`admit-${await ann.page.evaluate(() => window.parley.roster.waiting[0].id)}`).first()
  if (!(await admit.isVisible())) await ann.click('people')
  await ann.screenshot('lobby')
  await admit.click()
  const at = Date.now()
  await dan.page.waitForFunction(() => window.parley.state === 'joined', undefined, { timeout: 10_000 })
  dan.id = await dan.page.evaluate(() => window.parley.self.id)
  await Promise.all([ann.watches([dan]), dan.watches([ann])])
  figures.note('admitted to seeing each other, ms', Date.now() - at)
})

figures.test('the host ends the meeting for all', async () => {
  await ann.click('end')
  await ann.page.getByTestId('end-confirm').click()
  for (const person of [ann, dan]) {
    await person.page.waitForFunction(() => window.parley.state === 'closed', undefined, { timeout: 5_000 })
    assert.equal(await person.page.evaluate(() => window.parley.reason), 'ended')
    await person.page.getByTestId('closed').waitFor({ timeout: 3_000 })
  }
})

figures.test('no page complained', () => {
  for (const person of [ann, ben, cleo, dan]) assert.deepEqual(person.complaints, [], `${person.name}'s console`)
})
