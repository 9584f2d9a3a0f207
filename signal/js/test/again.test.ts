import { expect, test } from 'vitest'
import { askAgain } from '../src/again.ts'

const section = (kind: string, direction: string, codec: string): string =>
  [
    `m=${kind} 9 UDP/TLS/RTP/SAVPF 111`,
    `a=${direction}`,
    `a=rtpmap:111 ${codec}`,
    'a=rtcp-fb:111 transport-cc',
    '',
  ].join('\r\n')
const offer = (...sections: string[]): string => ['v=0\r\nt=0 0\r\n', ...sections].join('')

test.each([
  { name: 'a voice that is received', of: section('audio', 'recvonly', 'opus/48000/2'), asks: 1 },
  { name: 'a voice that is sent', of: section('audio', 'sendonly', 'opus/48000/2'), asks: 0 },
  { name: 'another codec', of: section('audio', 'recvonly', 'PCMU/8000'), asks: 0 },
  { name: 'a picture', of: section('video', 'recvonly', 'VP8/90000'), asks: 0 },
])('$name is asked for again in $asks m-lines', ({ of, asks }) => {
  const changed = askAgain(offer(section('video', 'recvonly', 'VP8/90000'), of))
  expect(changed.match(/^a=rtcp-fb:111 nack\r$/gm)?.length ?? 0).toBe(asks)
  expect(changed.replace('a=rtcp-fb:111 nack\r\n', '')).toBe(offer(section('video', 'recvonly', 'VP8/90000'), of))
})

test('each of several voices is asked for again', () => {
  const voice = section('audio', 'recvonly', 'opus/48000/2')
  expect(askAgain(offer(voice, voice, voice)).match(/ nack\r$/gm)).toHaveLength(3)
})
