// Two people talk over a link that loses every twentieth packet, both ways: each packet crosses it twice, up from one and
// down to the other.
import { after, before } from 'node:test'
import { Figures } from './figures.mjs'
import { pause, Person } from './person.mjs'
import { newMeeting, ready } from './rest.mjs'

const seconds = 30
const capture = { width: 640, height: 360, frameRate: 30 }
const figures = new Figures()
let people = []

before(async () => {
  await ready()
  const meeting = await newMeeting('Over a bad link')
  people = await Promise.all(['Near', 'Far'].map(name => Person.come(name, { capture })))
  const [near, far] = people
  await near.join(meeting.host_url)
  await far.join(meeting.join_url)
  await Promise.all([near.watches([far], 30_000), far.watches([near], 30_000)])
  await pause(5_000) // for the first picture to settle
})

after(async () => {
  figures.print()
  await Promise.all(people.map(person => person.go()))
})

figures.test('pictures hardly freeze and the sound keeps flowing', async () => {
  const earlier = await Promise.all(people.map(person => person.sample()))
  await pause(seconds * 1_000)
  const later = await Promise.all(people.map(person => person.sample()))
  for (const person of people) {
    const [format, bytes] = await person.voiceFormat()
    figures.note(`${person.name}: bytes of a voice's packet`, bytes)
    figures.hold(`${person.name}: the voice is sent as`, format, 'audio/red', format === 'audio/red')
  }
  people.forEach((person, i) => {
    const elapsed = (later[i].at - earlier[i].at) / 1_000
    const grew = (list, key) => total(later[i], list, key) - total(earlier[i], list, key)
    const frozen = (100 * grew('video', 'frozen')) / elapsed
    const got = grew('video', 'packets')
    const audio = grew('audio', 'samples')
    const missing = grew('audio', 'concealed') - grew('audio', 'silent')
    figures.note(`${person.name}: video packets received`, got)
    figures.note(`${person.name}: of them sent again`, grew('video', 'retransmitted'))
    figures.note(`${person.name}: video packets lost on the way, %`, (100 * grew('video', 'lost')) / (got + grew('video', 'lost')))
    figures.note(`${person.name}: frames that this machine was too slow for`, grew('video', 'dropped'))
    figures.hold(`${person.name}: frames decoded a second`, grew('video', 'frames') / elapsed, '>= 20', grew('video', 'frames') / elapsed >= 20)
    figures.hold(`${person.name}: time frozen, %`, frozen, '< 1', frozen < 1)
    figures.hold(`${person.name}: audio packets a second`, grew('audio', 'packets') / elapsed, '>= 40', grew('audio', 'packets') / elapsed >= 40)
    figures.hold(`${person.name}: audio that had to be invented, %`, (100 * missing) / audio, '< 15', missing / audio < 0.15)
  })
})

/** Adds up one counter over the streams of one kind. */
function total({ inbound }, kind, key) {
  return inbound.filter(one => one.kind === kind).reduce((sum, one) => sum + one[key], 0)
}
