// Makes src/wire.ts from ../wire/schema.json, which is made from the Go structs. With --check it changes nothing and
// fails when the file is stale.
import { readFile, writeFile } from 'node:fs/promises'
import { compile } from 'json-schema-to-typescript'

const source = new URL('../../wire/schema.json', import.meta.url)
const target = new URL('../src/wire.ts', import.meta.url)
const header = `// Made from signal/wire/schema.json by "npm run generate". Do not edit.\n`

/** The definition's name in a reference such as "#/$defs/Hello". */
function nameOf(reference) {
  return reference.$ref.slice(reference.$ref.lastIndexOf('/') + 1)
}

/** An interface that maps each message type to the interface of its body. */
function mapOf(name, comment, messages) {
  const lines = Object.entries(messages).map(([type, reference]) => `  '${type}': ${nameOf(reference)}`)
  return `/** ${comment} */\nexport interface ${name} {\n${lines.join('\n')}\n}\n`
}

async function generate() {
  const schema = JSON.parse(await readFile(source, 'utf8'))
  const bodies = await compile({ title: 'Unused', type: 'object', $defs: schema.$defs }, 'Unused', {
    additionalProperties: false,
    bannerComment: '',
    declareExternallyReferenced: true,
    format: true,
    style: { semi: false, singleQuote: true, printWidth: 120 },
    unreachableDefinitions: true,
  })
  const named = bodies
    .replace(/export interface Unused \{[^}]*\}\n/, '')
    .replaceAll(/^ \* This interface was referenced by .*\n \* via the `definition` .*\n/gm, '')
    .replaceAll(' *\n */', ' */')
    .replaceAll(/^\}\n(?=\S)/gm, '}\n\n')
    .trim()
  const codes = Object.entries(schema.close_codes).map(([name, code]) => `  ${name}: ${code},`)
  return [
    header,
    `${named}\n`,
    mapOf('ClientMessages', 'What a client sends: the body of each message by its type.', schema.client),
    mapOf('ServerMessages', 'What a server sends: the body of each message by its type.', schema.server),
    `/** The close codes of a session. */\nexport const closeCodes = {\n${codes.join('\n')}\n} as const\n`,
    `/** The codes of errors that a server answers with. */\nexport type ErrorCode =\n${schema.error_codes.map(code => `  | '${code}'`).join('\n')}\n`,
  ].join('\n')
}

const fresh = await generate()
if (!process.argv.includes('--check')) {
  await writeFile(target, fresh)
} else if (fresh !== (await readFile(target, 'utf8').catch(() => ''))) {
  console.error('src/wire.ts is stale: run "npm run generate"')
  process.exit(1)
}
