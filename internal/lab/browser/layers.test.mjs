// One person watches another: when the tile shrinks a smaller layer comes, when it grows a larger one, and the picture
// never stops for it.
import { after, before } from 'node:test'
import { Figures } from './figures.mjs'
import { pause, Person, smallCapture } from './person.mjs'
import { newMeeting, ready } from './rest.mjs'

const large = { width: 1280, height: 800 }
const small = { width: 380, height: 560 }
const figures = new Figures()
let sender, viewer

before(async () => {
  await ready()
  const meeting = await newMeeting('Layers')
  ;[sender, viewer] = await Promise.all([Person.come('Sender'), Person.come('Viewer', { viewport: large })])
  await sender.join(meeting.host_url)
  await viewer.join(meeting.join_url, { camera: false }) // decoding is work enough
  await viewer.watches([sender])
})

after(async () => {
  figures.print()
  await Promise.all([sender, viewer].map(person => person?.go()))
})

/** The rids that the sender sends now. */
function sending() {
  return sender.page.evaluate(async () => {
    const rids = new Set()
    for (const connection of window.lab.connections) {
      for (const one of (await connection.getStats()).values()) {
        if (one.type === 'outbound-rtp' && one.kind === 'video' && one.active) rids.add(one.rid ?? 'f')
      }
    }
    return [...rids].sort().join(' ')
  })
}

figures.test('a large tile is sent the full layer', async () => {
  const { width, turned } = await viewer.turnsTo(sender, now => now === smallCapture.width, 15_000)
  figures.hold('received width, large tile', width, String(smallCapture.width), turned)
  await pause(2_000)
})

figures.test('a tile that shrinks is sent a smaller layer within 2 s, without a freeze', async () => {
  const earlier = await viewer.received(sender)
  await viewer.page.setViewportSize(small)
  const { width, took, turned } = await viewer.turnsTo(sender, now => now > 0 && now < earlier.width, 4_000)
  figures.hold('received width, small tile', width, `< ${earlier.width}`, turned)
  figures.hold('shrunk to smaller picture, ms', took, '<= 2000', took <= 2_000)
  await pause(2_000)
  const later = await viewer.received(sender)
  figures.hold('freezes while it shrank', later.freezes - earlier.freezes, '0', later.freezes === earlier.freezes)
  figures.hold('frames decoded while it shrank', later.frames - earlier.frames, '>= 15', later.frames - earlier.frames >= 15)
})

figures.test('the sender pauses the layer that nobody watches', async () => {
  const rids = await sending()
  figures.hold('layers sent for a small tile', rids, 'no f', !rids.includes('f'))
})

figures.test('a tile that grows is sent the larger layer again, without a freeze', async () => {
  const earlier = await viewer.received(sender)
  await viewer.page.setViewportSize(large)
  const { width, took, turned } = await viewer.turnsTo(sender, now => now === smallCapture.width, 10_000)
  figures.hold('received width, large tile again', width, String(smallCapture.width), turned)
  figures.note('grown to larger picture, ms', took)
  await pause(2_000)
  const later = await viewer.received(sender)
  figures.hold('freezes while it grew', later.freezes - earlier.freezes, '0', later.freezes === earlier.freezes)
})
