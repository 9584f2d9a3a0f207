import { expect, test } from 'vitest'
import { parse, resumable } from '../src/message.ts'

test.each([
  ['an event', '{"type":"ok","reply_to":"1"}', { type: 'ok', reply_to: '1' }],
  ['a type of the future', '{"type":"room.surprise","x":1}', { type: 'room.surprise', x: 1 }],
  ['no JSON', '{"type"', undefined],
  ['no object', '7', undefined],
  ['nothing', 'null', undefined],
  ['no type', '{"seq":1}', undefined],
  ['a type that is none', '{"type":1}', undefined],
])('parse: %s', (_, text, message) => {
  expect(parse(text)).toEqual(message)
})

test.each([
  [1006, true],
  [1001, true],
  [4000, true],
  [4002, true],
  [1000, false],
  [4001, false],
  [4100, false],
  [4103, false],
  [4104, false],
])('after close code %i resuming is %s', (code, answer) => {
  expect(resumable(code)).toBe(answer)
})
