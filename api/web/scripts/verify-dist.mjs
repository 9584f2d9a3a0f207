// Builds the app anew beside the committed one and fails when they differ: what is embedded is what the source says.
import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const home = fileURLToPath(new URL('..', import.meta.url))
const limit = 300_000

/** Every file below a folder with its content. */
async function contents(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
  return new Map(await Promise.all(files.map(async file => [relative(folder, file), await readFile(file)])))
}

function differences(committed, fresh) {
  const names = [...new Set([...committed.keys(), ...fresh.keys()])].sort()
  return names.filter(name => !(committed.has(name) && fresh.get(name)?.equals(committed.get(name))))
}

const target = await mkdtemp(join(tmpdir(), 'parley-web-'))
try {
  execFileSync(
    process.execPath,
    ['node_modules/vite/bin/vite.js', 'build', '--outDir', target, '--emptyOutDir', '--logLevel', 'warn'],
    {
      cwd: home,
      stdio: 'inherit',
    },
  )
  const committed = await contents(join(home, 'dist'))
  const wrong = differences(committed, await contents(target))
  if (wrong.length > 0) throw new Error(`dist is stale, run "npm run build": ${wrong.join(', ')}`)
  const size = [...committed.values()].reduce((sum, body) => sum + body.length, 0)
  if (size > limit) throw new Error(`dist has ${size} bytes, more than ${limit}`)
  console.log(`dist is what the source builds: ${committed.size} files, ${size} bytes`)
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
} finally {
  await rm(target, { recursive: true })
}
