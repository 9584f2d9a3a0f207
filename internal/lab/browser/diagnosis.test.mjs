// What the pages say when something is broken, in the words of the README's table: the connection test, and a meeting's
// tiles and statistics. What is broken is dropped by nft in the browsers' own namespace.
import { execFileSync } from 'node:child_process'
import { after, before } from 'node:test'
import { Figures } from './figures.mjs'
import { pause, Person, until } from './person.mjs'
import { newMeeting, ready, url } from './rest.mjs'

const figures = new Figures()
let people = []

/** Drops what the rules match, in chains of both directions; without rules everything passes again. */
function drop({ out = [], into = [] } = {}) {
  const chain = (hook, way, rules) => {
    const lines = rules.map(rule => `${way} "cable" ${rule} drop\n`).join('')
    return `chain ${hook} {\ntype filter hook ${hook} priority 0\n${lines}}\n`
  }
  const input = `table inet browsers
delete table inet browsers
table inet browsers {
${chain('output', 'oifname', out)}${chain('input', 'iifname', into)}}
`
  execFileSync('nft', ['-f', '-'], { input })
}

before(async () => {
  await ready()
})

after(async () => {
  await Promise.all(people.map(person => person.go()))
  figures.print()
})

/** Runs the connection test and answers its verdict and its report. */
async function examine(person) {
  const { page } = person
  await page.goto(`${url}/test`)
  await page.getByTestId('start-test').click()
  await page.waitForSelector('[data-testid=verdict][data-progress=done]', { timeout: 60_000 })
  const verdict = await page.getByTestId('verdict').locator('h1').textContent()
  return { verdict, report: await page.getByTestId('report').inputValue() }
}

const relay = 3478
const media = 7881

for (const { name, out, verdict, words } of [
  { name: 'nothing is blocked', out: [], verdict: 'Calls will work', words: ['ok      RTP by UDP', 'ok      RTP by relay over TCP'] },
  { name: 'UDP is', out: ['meta l4proto udp'], verdict: 'Calls will work, over TCP', words: ['ICE: UDP blocked', 'STUN unreachable', 'ok      RTP by TCP'] },
  {
    name: 'UDP and the media port are',
    out: ['meta l4proto udp', `tcp dport ${media}`],
    verdict: 'Calls will work, through the relay',
    words: ['ICE: TCP to the media port is blocked', 'no relay candidate', 'ok      RTP by relay over TCP'],
  },
  {
    name: 'everything but HTTP is',
    out: ['meta l4proto udp', `tcp dport { ${media}, ${relay} }`],
    verdict: 'Calls will not work: UDP blocked and no relay',
    words: ['no relay candidate', 'ok      WebSocket', 'ok      Big messages'],
  },
]) {
  figures.test(`hangs on connecting: ${name}`, async () => {
    drop({ out })
    const tester = await Person.come('Tester')
    try {
      const found = await examine(tester)
      figures.hold(`/test where ${name} blocked`, found.verdict, verdict, found.verdict === verdict)
      if (!words.every(word => found.report.includes(word))) console.log(found.report)
      for (const word of words) figures.hold('its report', word, 'named', found.report.includes(word))
      const secret = /eyJ[\w-]+\.|credential|bearer/i.test(found.report)
      figures.hold('secrets in the report', secret, 'false', !secret)
      figures.hold('errors on the page', tester.complaints.filter(one => !one.includes('net::')).join(), '', tester.complaints.every(one => one.includes('net::')))
      await tester.screenshot(`test-page-${verdict.replaceAll(/\W+/g, '-')}`)
    } finally {
      await tester.go()
      drop()
    }
  })
}

figures.test('join spins: the page says that REST is down, and which status a proxy gave', async () => {
  const tester = await Person.come('Tester')
  try {
    await tester.page.goto(`${url}/test`)
    drop({ out: ['tcp dport 7880'] })
    await tester.page.getByTestId('start-test').click()
    await tester.page.waitForSelector('[data-testid=verdict][data-progress=done]', { timeout: 30_000 })
    const verdict = await tester.page.getByTestId('verdict').locator('h1').textContent()
    figures.hold('/test without a server', verdict, 'Calls will not work: REST down…', verdict.startsWith('Calls will not work: REST down'))
  } finally {
    drop()
    await tester.go()
  }
})

figures.test('one-way audio and frozen pictures are named in the meeting', async () => {
  const meeting = await newMeeting('Diagnosis')
  people = await Promise.all(['Ada', 'Bob'].map(name => Person.come(name, { capture: { width: 1280, height: 720, frameRate: 15 } })))
  const [ada, bob] = people
  await ada.join(meeting.host_url)
  await bob.join(meeting.join_url)
  await bob.watches([ada], 30_000)

  // Her microphone dies: it is on, and nothing comes of it.
  await ada.page.evaluate(() => {
    const [pc] = window.lab.connections.filter(one => one.connectionState === 'connected')
    return pc.getSenders().find(sender => sender.track?.kind === 'audio').replaceTrack(null)
  })
  const badge = bob.page.getByTestId(`trouble-${ada.id}`)
  await badge.waitFor({ timeout: 15_000 })
  const said = await badge.textContent()
  figures.hold('the tile of Ada', said, 'No sound is arriving from Ada', said === 'No sound is arriving from Ada')
  await bob.page.keyboard.press('i')
  const troubles = bob.page.getByTestId('troubles')
  const silent = await troubles.textContent()
  figures.hold('the statistics', silent, 'no inbound packets from that participant’s microphone', silent.includes('no inbound packets from that participant’s microphone'))
  await bob.screenshot('meeting-one-way-audio')

  // The way down becomes bad: pictures freeze, and the node goes on sending the layer.
  drop({ into: ['meta l4proto udp numgen random mod 100 < 60'] })
  await until('the frozen picture is explained', 30_000, async () => (await troubles.textContent()).includes('downlink below the layer'))
  const frozen = await troubles.textContent()
  figures.hold('the statistics', frozen, 'downlink below the layer …; simulcast not adapting', frozen.includes('simulcast not adapting'))
  await bob.screenshot('meeting-frozen-picture')
  drop()
  await pause(500)
})
