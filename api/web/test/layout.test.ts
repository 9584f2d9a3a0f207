import { describe, expect, test } from 'vitest'
import { bestGrid, gap, pageCapacity, pixels, stripCapacity } from '../src/meeting/layout.ts'

describe('bestGrid', () => {
  test.each([
    { name: 'alone', count: 1, width: 1248, height: 680, columns: 1, rows: 1 },
    { name: 'two on a desktop', count: 2, width: 1248, height: 680, columns: 2, rows: 1 },
    { name: 'two on a phone', count: 2, width: 374, height: 640, columns: 1, rows: 2 },
    { name: 'four', count: 4, width: 1248, height: 680, columns: 2, rows: 2 },
    { name: 'nine', count: 9, width: 1248, height: 680, columns: 3, rows: 3 },
    { name: 'in a flat space', count: 3, width: 1200, height: 150, columns: 3, rows: 1 },
  ])('$name', ({ count, width, height, columns, rows }) => {
    expect(bestGrid(count, width, height)).toMatchObject({ columns, rows })
  })

  test('tiles fit and are never narrower than a square nor wider than 16:9', () => {
    for (let count = 1; count <= 25; count++) {
      for (const [width, height] of [
        [1248, 680],
        [374, 640],
        [800, 200],
        [300, 1200],
      ] as const) {
        const grid = bestGrid(count, width, height)
        expect(grid.columns * grid.rows).toBeGreaterThanOrEqual(count)
        expect(grid.columns * grid.width + (grid.columns - 1) * gap).toBeLessThanOrEqual(width)
        expect(grid.rows * grid.height + (grid.rows - 1) * gap).toBeLessThanOrEqual(height)
        expect(grid.width / grid.height).toBeGreaterThan(0.98)
        expect(grid.width / grid.height).toBeLessThan(16 / 9 + 0.04)
      }
    }
  })

  test('no space gives no tiles rather than negative ones', () => {
    expect(bestGrid(4, 0, 0)).toMatchObject({ width: 0, height: 0 })
  })
})

test('a page holds as many tiles as stay large enough', () => {
  expect(pageCapacity(1248, 680, 25)).toBe(25)
  expect(pageCapacity(374, 640, 25)).toBeLessThan(13)
  expect(pageCapacity(100, 100, 25)).toBe(1)
  expect(pageCapacity(0, 0, 25)).toBe(25)
})

test('a strip holds whole tiles, and at least one', () => {
  expect(stripCapacity(410, 100)).toBe(3)
  expect(stripCapacity(430, 100)).toBe(4)
  expect(stripCapacity(10, 100)).toBe(1)
})

test('sizes become lengths', () => {
  expect(pixels({ width: 10, height: 20 })).toEqual({ width: '10px', height: '20px' })
  expect(pixels(undefined)).toBeUndefined()
})
