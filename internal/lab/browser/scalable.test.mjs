// One person sends the camera as one stream with all layers in it, in the codec and mode of LAB_SCALABLE, and another watches: when the tile
// shrinks the larger pictures are left out on the way, when it grows they are back, and the picture never stops for it.
import { after, before } from 'node:test'
import { Figures } from './figures.mjs'
import { pause, Person, smallCapture } from './person.mjs'
import { newMeeting, ready } from './rest.mjs'

const large = { width: 1280, height: 800 }
const small = { width: 380, height: 560 }
const [codec, mode] = process.env.LAB_SCALABLE.split(',')
const sizes = Number(mode[1])
const figures = new Figures()
let sender, viewer

/** The link with wishes for the page. */
const wishing = (link, wish) => link.replace(/(?=#|$)/, `?${wish}`)

before(async () => {
  await ready()
  const meeting = await newMeeting('Layers in one stream')
  ;[sender, viewer] = await Promise.all([Person.come('Sender'), Person.come('Viewer', { viewport: large })])
  await sender.join(wishing(meeting.host_url, `camera=${codec},${mode}`))
  await viewer.join(wishing(meeting.join_url, `receive=${codec}`), { camera: false })
  await viewer.watches([sender])
  await sender.page.evaluate(countPauses)
})

after(async () => {
  figures.print()
  await Promise.all([sender, viewer].map(person => person?.go()))
})

/**
 * Runs in the sender's page: counts in `lab.pauses` how often its browser sent no picture for 150 ms, as where an encoder that begins anew gets
 * its memory slowly. No viewer can be shown what was not sent.
 */
function countPauses() {
  const longest = 150
  window.lab.pauses = 0
  let [frames, since, counted] = [0, performance.now(), false]
  setInterval(async () => {
    let sent = 0
    for (const connection of window.lab.connections) {
      for (const one of (await connection.getStats()).values()) {
        if (one.type === 'outbound-rtp' && one.kind === 'video') sent += one.framesSent
      }
    }
    const now = performance.now()
    if (sent !== frames) [frames, since, counted] = [sent, now, false]
    else if (!counted && now - since > longest) [window.lab.pauses, counted] = [window.lab.pauses + 1, true]
  }, 25)
}

/** What the sender's browser says of its only stream. */
function sending() {
  return sender.page.evaluate(async () => {
    for (const connection of window.lab.connections) {
      const stats = await connection.getStats()
      for (const one of stats.values()) {
        if (one.type !== 'outbound-rtp' || one.kind !== 'video' || !one.framesSent) continue
        const { pauses } = window.lab
        return { codec: stats.get(one.codecId)?.mimeType, mode: one.scalabilityMode, pauses, keyframes: one.keyFramesEncoded, asked: one.pliCount + (one.firCount ?? 0) }
      }
    }
    return {}
  })
}

/** Bit/s that the viewer receives of pictures, over some time. */
async function rate(over) {
  const bytes = () =>
    viewer.page.evaluate(async () => {
      let sum = 0
      for (const connection of window.lab.connections) {
        for (const one of (await connection.getStats()).values()) {
          if (one.type === 'inbound-rtp' && one.kind === 'video') sum += one.bytesReceived + one.headerBytesReceived
        }
      }
      return sum
    })
  const earlier = await bytes()
  await pause(over)
  return Math.round(((await bytes()) - earlier) * 8 / over)
}

/** Holds what happens meanwhile to no freeze of its own, pictures all the time, and few keyframes. */
async function steadily(what, act, keyframes) {
  const earlier = await viewer.received(sender)
  const before = await sending()
  const begin = performance.now()
  await act()
  await pause(2_000)
  const later = await viewer.received(sender)
  const least = Math.floor(((performance.now() - begin) / 1000) * smallCapture.frameRate * 0.6)
  const frames = later.frames - earlier.frames
  const now = await sending()
  const more = now.keyframes - before.keyframes
  const pauses = Math.min(now.pauses - before.pauses, more) // an encoder that begins anew begins with a keyframe
  const freezes = later.freezes - earlier.freezes
  figures.hold(`freezes while ${what}`, freezes, `<= ${pauses} pauses of the sender`, freezes <= pauses)
  figures.hold(`frames decoded while ${what}`, frames, `>= ${least}`, frames >= least)
  figures.hold(`keyframes while ${what}`, more, `<= ${keyframes}`, more <= keyframes)
  figures.note('of them asked for', now.asked - before.asked)
}

figures.test('the camera is one stream with layers', async () => {
  const { codec: is, mode: layers } = await sending()
  figures.hold('codec and layers', `${is} ${layers}`, `video/${codec.toUpperCase()} ${mode}`, is === `video/${codec.toUpperCase()}` && layers === mode)
})

figures.test('a large tile is sent all of it', async () => {
  const { width, took, turned } = await viewer.turnsTo(sender, now => now === smallCapture.width, 30_000)
  figures.hold('received width, large tile', width, String(smallCapture.width), turned)
  figures.note('all layers after, ms', took)
  await pause(2_000)
  await steadily('nothing changes', () => pause(3_000), 0)
  figures.note('received, large tile, kbit/s', await rate(3_000))
})

if (sizes > 1) {
  figures.test('a tile that shrinks is sent a smaller picture, without a freeze', async () => {
    await steadily(
      'it shrank',
      async () => {
        await viewer.page.setViewportSize(small)
        const { width, took, turned } = await viewer.turnsTo(sender, now => now > 0 && now < smallCapture.width, 4_000)
        figures.hold('received width, small tile', width, `< ${smallCapture.width}`, turned)
        figures.hold('shrunk to smaller picture, ms', took, '<= 2000', took <= 2_000)
      },
      2,
    )
    await steadily('it is small', () => pause(3_000), 0)
    figures.note('received, small tile, kbit/s', await rate(3_000))
    figures.note('sent, small tile', (await sending()).mode)
  })

  figures.test('a tile that grows is sent all of it again, without a freeze', async () => {
    await steadily(
      'it grew',
      async () => {
        await viewer.page.setViewportSize(large)
        const { width, took, turned } = await viewer.turnsTo(sender, now => now === smallCapture.width, 10_000)
        figures.hold('received width, large tile again', width, String(smallCapture.width), turned)
        figures.note('grown to larger picture, ms', took)
      },
      codec === 'vp9' ? 10 : 2, // the publisher had left that size out, and its encoder begins anew: VP9's took four and six, AV1's one
    )
  })
}
