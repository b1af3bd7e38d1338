import { expect, test } from "bun:test"
import { unusedExports } from "../scripts/check/exports.ts"
import { graphOf, readSources } from "../scripts/check/imports.ts"

/**
 * The folders of `src` and the files beside them, from the top down: each imports of its own line and those below.
 * Between parts of one line there is no cycle.
 */
const layers: ReadonlyArray<ReadonlyArray<string>> = [
  ["main"],
  ["cli"],
  ["app", "warm-up"],
  ["http"],
  ["realtime"],
  ["turn"],
  ["agent", "tools"],
  ["conversation", "status"],
  ["accounts", "limits", "usage", "webhooks"],
  ["providers", "vad"],
  ["models"],
  ["ffmpeg", "text", "audio", "outbound"],
  [
    "capacity",
    "config",
    "db",
    "decode-issues",
    "event-loop",
    "file-lock",
    "hash",
    "metrics",
    "metrics-server",
    "networks",
    "otlp",
    "process",
    "prometheus",
    "schema",
    "telemetry",
    "temp-folder",
    "watch",
  ],
]

/** Run in browsers, so they import nothing of the rest. */
const apart: Readonly<Record<string, ReadonlyArray<string>>> = {
  client: ["client"],
  page: ["page", "client"],
}

/** Exports without an importer. The list may only get shorter. */
const knownUnused: ReadonlyArray<string> = []

/** Users of the package import what its `exports` names. */
const entry = "src/client/client.ts"

const sources = await readSources(["src", "test", "scripts", "examples"])
/** A generated file exports all that it has. */
const isExempt = (file: string) => file === entry || (sources.get(file)?.includes("Do not edit.") ?? false)
const isCode = (file: string) => file.startsWith("src/") && sources.has(file)
const graph = graphOf(new Map([...sources].filter(([file]) => isCode(file))))

/** `src/http/errors.ts` is of `http`, `src/schema.ts` of `schema`. */
const partOf = (file: string) => file.split("/")[1]?.replace(/\.ts$/, "") ?? ""

const edges = [...graph].flatMap(([file, imports]) =>
  [...imports].filter(isCode).map((path) => ({ file, path, from: partOf(file), to: partOf(path) })),
)

const rankOf = (part: string) => layers.findIndex((layer) => layer.includes(part))

test("every part of src has its place in the order", () => {
  const placed = [...layers.flat(), ...Object.keys(apart)]
  expect([...new Set([...graph.keys()].map(partOf))].filter((part) => !placed.includes(part))).toEqual([])
})

test("no import points upward", () => {
  const upward = edges
    .filter(({ from, to }) => {
      const own = apart[from]
      if (own !== undefined) return !own.includes(to)
      if (to in apart) return rankOf(from) > rankOf("http")
      return rankOf(to) < rankOf(from)
    })
    .map(({ file, path }) => `${file} -> ${path}`)
  expect(upward).toEqual([])
})

test("no parts form an import cycle", () => {
  const reach = new Map<string, Set<string>>()
  for (const { from, to } of edges) if (from !== to) reach.set(from, (reach.get(from) ?? new Set()).add(to))
  for (let grew = true; grew; ) {
    grew = false
    for (const found of reach.values()) {
      const before = found.size
      for (const part of [...found]) for (const next of reach.get(part) ?? []) found.add(next)
      grew ||= found.size > before
    }
  }
  const cycles = new Set(
    [...reach]
      .filter(([part, found]) => found.has(part))
      .map(([part, found]) =>
        [...found]
          .filter((other) => reach.get(other)?.has(part))
          .toSorted()
          .join(" "),
      ),
  )
  expect([...cycles]).toEqual([])
})

test("every export is imported", () => {
  const unused = unusedExports(sources, "src").filter(
    (each) => !isExempt(each.split(": ")[0] ?? "") && !knownUnused.includes(each),
  )
  expect(unused).toEqual([])
})

test("only the ledger writes turns and items, apart from summaries", () => {
  const writers = [...sources].filter(
    ([file, text]) => isCode(file) && /\b(insert into|update|delete from) (turns|items)\b/i.test(text),
  )
  expect(writers.map(([file]) => file).toSorted()).toEqual([
    "src/conversation/ledger-expiry.ts",
    "src/conversation/ledger-items.ts",
    "src/conversation/ledger-takeovers.ts",
    "src/conversation/ledger.ts",
    "src/conversation/summaries.ts",
  ])
})

test("tests wait for what they expect of a promise", async () => {
  const forgotten: Array<string> = []
  const promised =
    /(?<!\b(?:await|return|=>|void) )\bexpect\((?:(?!\bexpect\()[\s\S])*?\)\s*\.(?:rejects|resolves)\b/g
  const ownFiles = [...new Bun.Glob("test/**/*.ts").scanSync()].filter(
    (path) => !path.includes("/node_modules/"),
  )
  for (const path of ownFiles) {
    const found = (await Bun.file(path).text()).match(promised) ?? []
    forgotten.push(...found.map((text) => `${path}: ${text.slice(0, 80)}`))
  }
  expect(forgotten).toEqual([])
})
