import { afterAll, beforeEach, describe, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import { Effect, Either } from "effect"
import { parseDefinition } from "../../src/agent/read-definition.ts"
import { writeFiles } from "../../src/cli/agents/files.ts"

const root = mkdtempSync(join(tmpdir(), "agent-files-"))
const folder = join(root, "agents")

beforeEach(() => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

const named = (name: string) => Either.getOrThrow(parseDefinition({ name }))
const write = (path: string, names: ReadonlyArray<string>) =>
  Effect.runPromise(writeFiles(path, names.map(named)))
const put = (file: string, name: string) => writeFileSync(join(folder, file), JSON.stringify({ name }))

const stored = () =>
  Object.fromEntries(
    readdirSync(folder).map((file) => {
      const { name }: { readonly name: string } = JSON.parse(readFileSync(join(folder, file), "utf8"))
      return [file, name]
    }),
  )

describe("the file of an agent", () => {
  const here = relative(process.cwd(), folder)
  const paths = {
    absolute: folder,
    slash: `${folder}/`,
    dot: `./${here}`,
    dots: `${folder}/../agents//`,
    here,
  }
  for (const [kind, path] of Object.entries(paths)) {
    test(`is of no other agent: ${kind}`, async () => {
      put("support.json", "Helper")
      await write(path, ["Helper", "Support"])
      expect(stored()).toEqual({ "support.json": "Helper", "support-2.json": "Support" })
      const again = await write(path, ["Helper", "Support"])
      expect(again.map(({ isChanged }) => isChanged)).toEqual([false, false])
    })
  }

  test("is not one of another case", async () => {
    put("SUPPORT.json", "Helper")
    await write(folder, ["Support"])
    expect(stored()).toEqual({ "SUPPORT.json": "Helper", "support-2.json": "Support" })
  })

  test("keeps its name", async () => {
    put("first.json", "Support")
    await write(folder, ["support", "Support!"])
    expect(stored()).toEqual({ "first.json": "support", "support.json": "Support!" })
  })
})
