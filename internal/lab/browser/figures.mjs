import { test } from 'node:test'

/** Collects what the tests of a file measured beside what it must be, and prints both as one table at the end. */
export class Figures {
  #rows = []
  #faults = []

  /** Runs a test, which fails when a figure that it took is not within its bound. The other figures are taken all the same. */
  test(name, body) {
    return test(name, async () => {
      this.#faults = []
      await body()
      if (this.#faults.length > 0) throw new Error(this.#faults.join('; '))
    })
  }

  /** Notes a figure and whether it is within its bound. */
  hold(what, value, bound, good) {
    this.#rows.push([what, show(value), bound, good ? 'ok' : 'NOT MET'])
    if (!good) this.#faults.push(`${what}: ${show(value)}, must be ${bound}`)
  }

  /** Notes a figure that has no bound. */
  note(what, value) {
    this.#rows.push([what, show(value), '', ''])
  }

  print() {
    const rows = [['figure', 'measured', 'bound', ''], ...this.#rows]
    const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)))
    console.log('')
    for (const row of rows) console.log(`  ${row.map((cell, column) => cell.padEnd(widths[column])).join('  ')}`.trimEnd())
    console.log('')
  }
}

function show(value) {
  if (typeof value !== 'number' || Number.isInteger(value)) return String(value)
  return value.toFixed(1)
}
