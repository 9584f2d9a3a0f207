import { expect, test } from 'vitest'
import { arrange, remember } from '../src/meeting/order.ts'

const list = (text: string): string[] => [...text]

test.each([
  { name: 'newcomers come last', before: 'abc', present: 'bacd', speakers: '', capacity: 9, order: 'abcd' },
  { name: 'who left makes room', before: 'abc', present: 'ac', speakers: '', capacity: 9, order: 'ac' },
  { name: 'nobody moves while all fit', before: 'abc', present: 'abc', speakers: 'c', capacity: 3, order: 'abc' },
  {
    name: 'a speaker comes to the first page',
    before: 'abcd',
    present: 'abcd',
    speakers: 'd',
    capacity: 3,
    order: 'abdc',
  },
  { name: 'for the one silent longest', before: 'abcd', present: 'abcd', speakers: 'dcb', capacity: 3, order: 'dbca' },
  {
    name: 'a speaker on the first page stays',
    before: 'abcd',
    present: 'abcd',
    speakers: 'b',
    capacity: 3,
    order: 'abcd',
  },
  { name: 'two at once', before: 'abcdef', present: 'abcdef', speakers: 'fe', capacity: 3, order: 'aefdbc' },
])('$name', ({ before, present, speakers, capacity, order }) => {
  const result = arrange(list(before), list(present), list(speakers), capacity)
  expect(result.join('')).toBe(order)
  for (const speaker of list(speakers).slice(0, capacity)) expect(result.indexOf(speaker)).toBeLessThan(capacity)
})

test('speakers are remembered latest first, each once, and not for ever', () => {
  expect(remember(['a', 'b'], ['b'])).toEqual(['b', 'a'])
  expect(remember(['a', 'b', 'c'], ['d'], 3)).toEqual(['d', 'a', 'b'])
})
