import { expect, test } from 'vitest'
import { Emitter } from '../src/emitter.ts'
import { Serial } from '../src/serial.ts'

test('tasks run one after the other, past those that fail', async () => {
  const serial = new Serial()
  const log: string[] = []
  const task = (name: string, fails = false) =>
    serial.run(async () => {
      log.push(`${name} begins`)
      await Promise.resolve()
      log.push(`${name} ends`)
      if (fails) throw new Error(name)
    })
  const results = await Promise.allSettled([task('a'), task('b', true), task('c')])
  expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
  expect(results.map(one => one.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
})

test('too many waiting tasks are refused', async () => {
  const serial = new Serial(2)
  const never = new Promise<void>(() => undefined)
  void serial.run(() => never)
  void serial.run(() => never)
  await expect(serial.run(() => never)).rejects.toMatchObject({ code: 'busy' })
})

test('listeners are called in order until they stop', () => {
  class Bell extends Emitter<{ ring: number }> {
    ring(times: number): void {
      this.emit('ring', times)
    }
  }
  const bell = new Bell()
  const heard: string[] = []
  const stop = bell.on('ring', times => heard.push(`first ${times}`))
  bell.on('ring', times => heard.push(`second ${times}`))
  bell.ring(1)
  stop()
  bell.ring(2)
  expect(heard).toEqual(['first 1', 'second 1', 'second 2'])
})
