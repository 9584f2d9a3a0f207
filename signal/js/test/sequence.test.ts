import { expect, test } from 'vitest'
import { Sequence } from '../src/sequence.ts'

test.each([
  { name: 'in order', seqs: [1, 2, 3], verdicts: ['next', 'next', 'next'], last: 3 },
  { name: 'repeated', seqs: [1, 1, 2, 1], verdicts: ['next', 'old', 'next', 'old'], last: 2 },
  { name: 'a hole, then what was missing', seqs: [1, 3, 2, 3], verdicts: ['next', 'gap', 'next', 'next'], last: 3 },
  { name: 'starting late', seqs: [5], verdicts: ['gap'], last: 0 },
])('$name', ({ seqs, verdicts, last }) => {
  const sequence = new Sequence()
  expect(seqs.map(seq => sequence.accept(seq))).toEqual(verdicts)
  expect(sequence.last).toBe(last)
})

test('a snapshot stands for everything before it', () => {
  const sequence = new Sequence()
  sequence.restart(40)
  expect(sequence.accept(40)).toBe('old')
  expect(sequence.accept(41)).toBe('next')
})
