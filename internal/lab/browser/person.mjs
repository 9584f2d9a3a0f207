import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import * as probe from './probe.mjs'
import { url } from './rest.mjs'

const flags = fps => [
  '--no-sandbox',
  `--use-fake-device-for-media-stream=fps=${fps}`,
  '--use-fake-ui-for-media-stream',
  '--autoplay-policy=no-user-gesture-required',
  '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--disable-background-networking',
  '--disable-background-timer-throttling',
  '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows',
  '--no-first-run',
  ...(process.env.LAB_ANY_CERTIFICATE ? ['--ignore-certificate-errors'] : []),
  ...(url.startsWith('http://127.') || url.startsWith('https:') ? [] : [`--unsafely-treat-insecure-origin-as-secure=${url}`]),
]

/** Pictures of three simulcast layers that leave a small machine room for several browsers. */
export const smallCapture = { width: 960, height: 540, frameRate: 15 }

/**
 * A new profile of somebody who has allowed pages to use camera and microphone, as people do. What is granted through the
 * browser's debugger instead counts in all frames, whatever a page says of them.
 */
function newProfile() {
  const profile = mkdtempSync(join(tmpdir(), 'lab-profile-'))
  const allowed = { 'http://*,*': { setting: 1 }, 'https://*,*': { setting: 1 } }
  const exceptions = { media_stream_camera: allowed, media_stream_mic: allowed }
  mkdirSync(join(profile, 'Default'))
  writeFileSync(join(profile, 'Default', 'Preferences'), JSON.stringify({ profile: { content_settings: { exceptions } } }))
  return profile
}

/** Somebody with a browser of their own. */
export class Person {
  /** Opens a browser. */
  static async come(name, { capture = smallCapture, viewport = { width: 1280, height: 800 } } = {}) {
    const profile = newProfile()
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: flags(capture.frameRate),
      viewport,
    })
    const page = context.pages()[0] ?? (await context.newPage())
    await page.addInitScript(probe.install, { capture })
    const person = new Person()
    Object.assign(person, { name, profile, context, browser: context.browser(), page, complaints: [] })
    page.on('pageerror', error => person.complaints.push(String(error)))
    page.on('console', message => message.type() === 'error' && person.complaints.push(message.text()))
    return person
  }

  /** Opens the meeting's page and asks to be let in. */
  async enter(link, { camera = true } = {}) {
    await this.page.goto(link)
    await this.page.getByTestId('name').fill(this.name)
    await this.page.waitForFunction(() => window.parley?.local.cameraOn)
    if (!camera) await this.page.getByTestId('camera').click()
    await this.page.getByTestId('join').click()
  }

  /** Enters and waits until in the room. */
  async join(link, how) {
    await this.enter(link, how)
    await this.page.waitForFunction(() => window.parley?.state === 'joined', undefined, { timeout: 20_000 })
    this.id = await this.page.evaluate(() => window.parley.self.id)
  }

  sample() {
    return this.page.evaluate(probe.sample)
  }

  voiceFormat() {
    return this.page.evaluate(probe.voiceFormat)
  }

  exchanges() {
    return this.page.evaluate(probe.exchanges)
  }

  slotOwners() {
    return this.page.evaluate(probe.slotOwners)
  }

  click(testId) {
    return this.page.evaluate(probe.click, testId)
  }

  /** Waits until this page knows the presence of somebody, and answers when it did. */
  async sees(participant, key, value, after) {
    const wish = { participant, key, value, after }
    const handle = await this.page.waitForFunction(probe.presenceAt, wish, { timeout: 5_000, polling: 20 })
    return handle.jsonValue()
  }

  /** The tiles of others. */
  async remoteTiles() {
    return (await this.sample()).tiles.filter(tile => !tile.self)
  }

  /** Waits until pictures of all these people are decoded. */
  async watches(people, timeout = 20_000) {
    const ids = people.map(one => one.id)
    await until(`${this.name} sees ${people.map(one => one.name)}`, timeout, async () => {
      const tiles = await this.remoteTiles()
      return ids.every(id => tiles.some(tile => tile.participant === id && tile.inbound?.frames > 0))
    })
  }

  /** The picture of somebody as it is received. */
  async received(person) {
    const tile = (await this.remoteTiles()).find(one => one.participant === person.id)
    return tile?.inbound ?? { width: 0, frames: 0, freezes: 0, frozen: 0 }
  }

  /** Waits until the width in which somebody is received is as wished, and tells how many milliseconds that took. */
  async turnsTo(person, wish, limit) {
    const begin = performance.now()
    for (;;) {
      const { width } = await this.received(person)
      const took = Math.round(performance.now() - begin)
      if (wish(width) || took > limit) return { width, took, turned: wish(width) }
      await pause(50)
    }
  }

  async screenshot(name) {
    if (!process.env.ARTIFACTS) return
    mkdirSync(process.env.ARTIFACTS, { recursive: true })
    await this.page.screenshot({ path: `${process.env.ARTIFACTS}/${name}.png` })
  }

  async go() {
    await this.context.close()
    rmSync(this.profile, { recursive: true, force: true })
  }
}

/** Asks `what` again and again until it is true; after `limit` milliseconds that is an error. */
export async function until(expectation, limit, what) {
  const deadline = Date.now() + limit
  while (!(await what())) {
    if (Date.now() > deadline) throw new Error(`not within ${limit} ms: ${expectation}`)
    await pause(100)
  }
}

/** Lets time pass while things are measured. */
export const pause = ms => new Promise(resolve => setTimeout(resolve, ms))
