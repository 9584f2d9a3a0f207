// Two people meet over HTTPS and WebSocket on one TLS port, whose certificate no authority of the browser's has signed.
import { after, before } from 'node:test'
import { Figures } from './figures.mjs'
import { Person } from './person.mjs'
import { newMeeting, ready } from './rest.mjs'

const figures = new Figures()
let people = []

before(async () => {
  await ready()
  people = await Promise.all(['Near', 'Far'].map(name => Person.come(name, { capture: { width: 640, height: 360, frameRate: 15 } })))
})

after(async () => {
  figures.print()
  await Promise.all(people.map(person => person.go()))
})

figures.test('join over HTTPS and see each other', async () => {
  const [near, far] = people
  const meeting = await newMeeting('Over TLS')
  const start = Date.now()
  await near.join(meeting.host_url)
  await far.join(meeting.join_url)
  await Promise.all([near.watches([far]), far.watches([near])])
  figures.note('from the first click to moving pictures of both, ms', Date.now() - start)
  const page = await far.page.evaluate(() => ({ secure: window.isSecureContext, protocol: performance.getEntriesByType('navigation')[0].nextHopProtocol }))
  figures.hold('the page came by', page.protocol, 'h2', page.protocol === 'h2')
  figures.hold('the page is a secure context', page.secure, 'true', page.secure)
})
