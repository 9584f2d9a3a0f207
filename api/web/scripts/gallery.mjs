// Takes pictures of the page in all of its states, into shots/. Give names to take only those.
import { mkdir } from 'node:fs/promises'
import { chromium } from 'playwright-core'
import { createServer } from 'vite'

const states = {
  home: { page: 'home', token: true, people: 1 },
  'home-guest': { page: 'home', people: 1 },
  prejoin: { page: 'prejoin', people: 1 },
  waiting: { page: 'waiting', people: 1 },
  'check-relay': { page: 'check-relay', people: 1 },
  'check-bad': { page: 'check-bad', people: 1 },
  closed: { page: 'closed', people: 1, state: 'closed', reason: 'left' },
  alone: { page: 'meeting', people: 1 },
  three: { page: 'meeting', people: 3, speaking: [1], muted: [2], hands: [2] },
  five: { page: 'meeting', people: 5, dark: [3, 4], speaking: [3], muted: [1, 4], hands: [0, 4] },
  many: { page: 'meeting', people: 34, dark: [3, 4, 9, 11], muted: [2, 5, 6, 9], speaking: [7] },
  speaker: { page: 'meeting', people: 8, speaking: [2], dark: [4], muted: [3], press: ['l'] },
  screen: { page: 'meeting', people: 6, sharing: 2, speaking: [2], dark: [4] },
  chat: { page: 'meeting', people: 4, chat: true, press: ['c'] },
  people: { page: 'meeting', people: 9, host: true, knocking: 2, hands: [3], muted: [2, 4], dark: [5], press: ['p'] },
  lobby: { page: 'meeting', people: 3, host: true, knocking: 5, locked: true },
  stats: { page: 'meeting', people: 5, press: ['i'], settle: 4000 },
  help: { page: 'meeting', people: 3, press: ['?'] },
  end: { page: 'meeting', people: 3, host: true, click: 'end' },
  devices: { page: 'meeting', people: 3, click: 'devices' },
  reconnecting: { page: 'meeting', people: 3, state: 'reconnecting' },
}
const sizes = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } }
const wanted = process.argv.slice(2)

const server = await createServer({ server: { port: 0, host: '127.0.0.1' }, logLevel: 'warn' })
await server.listen()
const { port } = server.httpServer.address()
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--use-fake-device-for-media-stream=fps=10',
    '--use-fake-ui-for-media-stream',
    '--autoplay-policy=no-user-gesture-required',
    '--disable-background-networking',
    '--no-first-run',
  ],
})
await mkdir('shots', { recursive: true })
for (const [device, viewport] of Object.entries(sizes)) {
  for (const [name, { press = [], click, settle = 900, ...scene }] of Object.entries(states)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue
    const page = await browser.newPage({ viewport, hasTouch: device === 'phone', isMobile: device === 'phone' })
    page.on('pageerror', error => console.error(name, error.message))
    await page.goto(`http://127.0.0.1:${port}/dev/gallery.html#${encodeURIComponent(JSON.stringify(scene))}`)
    await page.waitForTimeout(settle)
    for (const key of press) await page.keyboard.press(key)
    if (click) await page.getByTestId(click).click()
    await page.waitForTimeout(press.length > 0 || click ? settle : 0)
    await page.screenshot({ path: `shots/${device}-${name}.png` })
    await page.close()
  }
}
await browser.close()
await server.close()
