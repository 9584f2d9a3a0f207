/** Collects what a test measured beside what it must be, and prints both as one table at the end. */
export class Figures {
  #rows = []

  /** Notes a figure, and complains at once when it is not within its bound. */
  hold(what, value, bound, good) {
    this.#rows.push([what, show(value), bound, good ? 'ok' : 'NOT MET'])
    if (!good) throw new Error(`${what}: ${show(value)}, must be ${bound}`)
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
  return value.toFixed(Math.abs(value) < 1 ? 4 : 1)
}
