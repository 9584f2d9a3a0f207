// Two people meet over HTTPS and WebSocket on one TLS port, whose certificate no authority of the browser's has signed.
import { after, before } from 'node:test'
import { Figures } from './figures.mjs'
import { Person } from './person.mjs'
import { newMeeting, ready } from './rest.mjs'

const figures = new Figures()
let people = []

/** Lets media go through relays that are reached by TLS, and no other way: what remains behind a strict firewall. */
function onlyTLS() {
  const secure = ({ urls, ...rest }) => ({ ...rest, urls: [urls].flat().filter(url => url.startsWith('turns:')) })
  const strict = (config = {}) => ({
    ...config,
    iceServers: (config.iceServers ?? []).map(secure).filter(({ urls }) => urls.length > 0),
    iceTransportPolicy: 'relay',
  })
  window.RTCPeerConnection = class extends window.RTCPeerConnection {
    constructor(config) {
      super(strict(config))
      window.parent.relayed = this // the page may make its connections in a frame of its own
    }

    setConfiguration(config) {
      super.setConfiguration(strict(config))
    }
  }
}

/** The kind of relay that the page's media goes through. */
async function relayProtocol(page) {
  return page.evaluate(async () => {
    const stats = [...(await window.relayed.getStats()).values()]
    const transport = stats.find(one => one.type === 'transport')
    const pair = stats.find(one => one.id === transport.selectedCandidatePairId)
    return stats.find(one => one.id === pair.localCandidateId).relayProtocol
  })
}

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

figures.test('join through the relay of that port', async () => {
  const [near] = people
  const walled = await Person.come('Walled', { capture: { width: 640, height: 360, frameRate: 15 } })
  people.push(walled)
  await walled.page.addInitScript(onlyTLS)
  const meeting = await newMeeting('Through TURN over TLS')
  await near.join(meeting.host_url)
  const start = Date.now()
  await walled.join(meeting.join_url)
  await Promise.all([near.watches([walled]), walled.watches([near])])
  figures.note('from the click to moving pictures of both, ms', Date.now() - start)
  const protocol = await relayProtocol(walled.page)
  figures.hold('its relay is reached by', protocol, 'tls', protocol === 'tls')
})
