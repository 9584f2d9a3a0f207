// A browser watches a Janus streaming mountpoint over a link that the test outside changes. What the browser counts is written down
// as bandwidth.test.mjs does.
import { appendFileSync, existsSync, renameSync, writeFileSync } from 'node:fs'
import { after, before } from 'node:test'
import { Figures } from './figures.mjs'
import { pause, Person, until } from './person.mjs'
import * as receiver from './receiver.mjs'

const dir = process.env.BANDWIDTH_DIR
const cameras = Number(process.env.BANDWIDTH_CAMERAS)
const every = 250
const figures = new Figures()
let viewer

before(async () => {
  viewer = await Person.come('Viewer', { viewport: { width: 1600, height: 1000 } })
})

after(async () => {
  figures.print()
  await viewer?.go()
})

/** Runs inside the page: watches the mountpoint 1 with the layer of that number, by Janus's own protocol over a WebSocket. */
async function watch({ url, layer }) {
  const socket = new WebSocket(url, 'janus-protocol')
  const waiting = new Map()
  let up
  const media = new Promise(resolve => {
    up = resolve
  })
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data)
    if (message.janus === 'ack') return
    const answer = waiting.get(message.transaction)
    waiting.delete(message.transaction)
    if (answer) answer(message)
    else if (message.janus === 'webrtcup') up()
  }
  await new Promise((resolve, reject) => {
    socket.onopen = resolve
    socket.onerror = () => reject(new Error(`no socket to ${url}`))
  })
  let number = 0
  const ask = message =>
    new Promise(resolve => {
      const transaction = `t${number++}`
      waiting.set(transaction, resolve)
      socket.send(JSON.stringify({ ...message, transaction }))
    })
  const session = await ask({ janus: 'create' })
  const at = { session_id: session.data.id }
  const handle = await ask({ janus: 'attach', plugin: 'janus.plugin.streaming', ...at })
  at.handle_id = handle.data.id
  setInterval(() => ask({ janus: 'keepalive', session_id: at.session_id }), 20_000)
  const offer = await ask({ janus: 'message', ...at, body: { request: 'watch', id: 1 } })
  if (!offer.jsep) throw new Error(JSON.stringify(offer))
  const connection = new RTCPeerConnection()
  const grid = document.createElement('div')
  grid.style.cssText = 'display: grid; grid-template-columns: repeat(4, 380px)'
  document.body.append(grid)
  connection.ontrack = ({ track }) => {
    const player = document.createElement(track.kind)
    player.srcObject = new MediaStream([track])
    player.autoplay = true
    player.style.width = '380px'
    grid.append(player)
  }
  await connection.setRemoteDescription(offer.jsep)
  await connection.setLocalDescription()
  await new Promise(resolve => {
    if (connection.iceGatheringState === 'complete') resolve()
    connection.onicegatheringstatechange = () => connection.iceGatheringState === 'complete' && resolve()
  })
  await ask({ janus: 'message', ...at, body: { request: 'start' }, jsep: connection.localDescription })
  await media // what is asked for before that is forgotten
  for (const { mid, receiver } of connection.getTransceivers()) {
    if (receiver.track.kind === 'video') await ask({ janus: 'message', ...at, body: { request: 'configure', mid, substream: layer } })
  }
}

figures.test('watches', async () => {
  await viewer.page.goto(process.env.JANUS_PAGE)
  await viewer.page.evaluate(watch, { url: process.env.JANUS_URL, layer: Number(process.env.JANUS_LAYER) })
  const moving = async () => (await viewer.page.evaluate(receiver.look)).streams.filter(one => one.kind === 'video' && one.frames > 5).length
  await until('all pictures move', 30_000, async () => (await moving()) === cameras)
  writeFileSync(`${dir}/joined.part`, 'viewer')
  renameSync(`${dir}/joined.part`, `${dir}/joined`)
  let looks = 0
  for (; !existsSync(`${dir}/end`); looks++) {
    const next = Date.now() + every
    appendFileSync(`${dir}/looks`, `${JSON.stringify(await viewer.page.evaluate(receiver.look))}\n`)
    await pause(Math.max(0, next - Date.now()))
  }
  await viewer.screenshot('janus')
  figures.note('times that the browser was asked', looks)
})
