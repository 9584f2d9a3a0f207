// Takes the README's picture of a real meeting: six people, each with a page of their own and a drawn camera.
//
//   go run ./cmd/parley dev --json                                   # tells url and token
//   LAB_URL=<url> LAB_TOKEN=<token> node portrait.mjs ../../../api/web/screenshot.jpg
import { chromium } from 'playwright-core'
import { until } from './person.mjs'
import { newMeeting, ready } from './rest.mjs'

const people = [
  { name: 'Blue room', wall: '#28536b', light: '#7ea8be', skin: '#8d5524', hair: '#1b1210', shirt: '#f2b134' },
  { name: 'Brown room', wall: '#5b4b49', light: '#c2b0a3', skin: '#f1c9a5', hair: '#a0642d', shirt: '#2f6690' },
  { name: 'Green room', wall: '#3d5a45', light: '#a3c4a8', skin: '#e8b88f', hair: '#20181a', shirt: '#e56b6f' },
  { name: 'Violet room', wall: '#6d4c6f', light: '#c9a7c7', skin: '#c68642', hair: '#2c1b18', shirt: '#e9edc9' },
  { name: 'Slate room', wall: '#31465b', light: '#a5b8cc', skin: '#f6d5bd', hair: '#dcb878', shirt: '#5f7a61' },
  { name: 'Gold room', wall: '#6a5836', light: '#d9c28c', skin: '#b87a4b', hair: '#17130f', shirt: '#355070' },
]

/** Runs in the page before its own scripts: the camera is a drawing of somebody who sways a little. */
function drawCamera({ wall, light, skin, hair, shirt, phase }) {
  const canvas = Object.assign(document.createElement('canvas'), { width: 1280, height: 720 })
  const pen = canvas.getContext('2d')
  const round = (color, x, y, rx, ry, from = 0, to = 2 * Math.PI) => {
    pen.fillStyle = color
    pen.beginPath()
    pen.ellipse(x, y, rx, ry, 0, from, to)
    pen.fill()
  }
  const draw = () => {
    const sway = Math.sin(performance.now() / 900 + phase) * 14
    const glow = pen.createRadialGradient(380 + phase * 90, 160, 40, 640, 360, 900)
    glow.addColorStop(0, light)
    glow.addColorStop(1, wall)
    pen.fillStyle = glow
    pen.fillRect(0, 0, 1280, 720)
    pen.fillStyle = '#ffffff14'
    pen.fillRect(880, 70, 260, 330) // a window
    pen.fillRect(100, 470, 210, 16) // a shelf
    const x = 640 + sway
    round(hair, x, 300, 148, 172)
    round(shirt, x * 0.4 + 384, 770, 330, 260)
    pen.fillStyle = skin
    pen.fillRect(x - 46, 400, 92, 130)
    round(skin, x, 318, 118, 146)
    round(hair, x, 236, 128, 84, Math.PI, 2 * Math.PI)
    for (const side of [-1, 1]) round('#20140fcc', x + side * 44, 314, 10, 12)
    pen.strokeStyle = '#5a2a22cc'
    pen.lineWidth = 8
    pen.beginPath()
    pen.arc(x, 360, 44, 0.25 * Math.PI, 0.75 * Math.PI)
    pen.stroke()
  }
  setInterval(draw, 100)
  draw()
  const original = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices)
  navigator.mediaDevices.getUserMedia = wish => (wish.video ? Promise.resolve(canvas.captureStream(10)) : original(wish))
}

await ready()
const meeting = await newMeeting('Monday')
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--autoplay-policy=no-user-gesture-required'],
})
const pages = []
for (const [phase, person] of people.entries()) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 760 }, permissions: ['camera', 'microphone'] })
  const page = await context.newPage()
  await page.addInitScript(drawCamera, { ...person, phase })
  await page.goto(phase === 0 ? meeting.host_url : meeting.join_url)
  await page.getByTestId('name').fill(person.name)
  await page.getByTestId('join').click()
  await page.waitForFunction(() => window.parley?.state === 'joined')
  pages.push(page)
}
await pages[2].getByTestId('hand').click()
for (const quiet of [1, 3, 4, 5]) await pages[quiet].getByTestId('mic').click()
await until('all pictures', 30_000, () =>
  pages[0].evaluate(count => {
    const shown = [...document.querySelectorAll('[data-testid=tile] video')].filter(video => video.videoWidth >= 640)
    return shown.length === count
  }, people.length),
)
await pages[0].mouse.move(0, 0) // away from the tiles, which show more under it
await pages[0].waitForTimeout(3_000)
await pages[0].screenshot({ path: process.argv[2] ?? 'screenshot.jpg', type: 'jpeg', quality: 90 })
await browser.close()
