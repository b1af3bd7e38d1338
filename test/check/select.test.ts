import { describe, expect, test } from "bun:test"
import { unusedExports } from "../../scripts/check/exports.ts"
import { dependents, graphOf } from "../../scripts/check/imports.ts"
import { sqlTests, testsAround } from "../../scripts/check/select.ts"

const sources = new Map(
  Object.entries({
    "src/app.ts": `import { speak } from "./turn/speak.ts"\nimport { wav } from "./audio/wav.ts"`,
    "src/turn/speak.ts": `import type { Wav } from "../audio/wav.ts"`,
    "src/audio/wav.ts": "",
    "test/support/service.ts": `import { layer } from "../../src/app.ts"`,
    "test/audio/wav.test.ts": `import { wav } from "../../src/audio/wav.ts"`,
    "test/audio/mp3.test.ts": "",
    "test/bench/table.test.ts": "",
    "test/docs.test.ts": "",
    "test/http/turn.test.ts": `import { startService } from "../support/service.ts"`,
    "test/http/turn-text.test.ts": `import { startService } from "../support/service.ts"`,
    "test/page/talk.test.ts": `import { startService } from "../support/service.ts"`,
    "test/turn/speak.test.ts": `import { speak } from "../../src/turn/speak.ts"`,
  }),
)

describe("check --changed", () => {
  test.each([
    [["test/audio/mp3.test.ts"], ["test/audio/mp3.test.ts"]],
    [
      ["src/audio/wav.ts"],
      [
        "test/audio/wav.test.ts",
        "test/audio/mp3.test.ts",
        "test/http/turn.test.ts",
        "test/turn/speak.test.ts",
      ],
    ],
    [
      ["src/turn/speak.ts"],
      ["test/http/turn.test.ts", "test/http/turn-text.test.ts", "test/turn/speak.test.ts"],
    ],
    [
      ["test/support/service.ts"],
      ["test/http/turn.test.ts", "test/http/turn-text.test.ts", "test/page/talk.test.ts"],
    ],
    [["src/page/player.ts"], ["test/page/talk.test.ts"]],
    [["README.md"], ["test/docs.test.ts"]],
    [["LICENSE"], []],
    [[], []],
  ])("%j", (changed, tests) => {
    expect(testsAround(changed, sources)).toEqual(tests)
  })
})

test("check --sql picks tests of rows, not of programs", async () => {
  const files = await sqlTests()
  expect(files).toEqual(
    expect.arrayContaining([
      "test/db/migrations.test.ts",
      "test/http/turn-idempotency.test.ts",
      "test/process/users.test.ts",
    ]),
  )
  for (const other of ["test/http/cors.test.ts", "test/page/talk.test.ts", "test/process/kill.test.ts"]) {
    expect(files).not.toContain(other)
  }
})

test("dependents follow imports of every form", () => {
  const graph = graphOf(
    new Map([
      ["a/type.ts", `import type { X } from "../x.ts"`],
      ["a/side.ts", `import "../x.ts"`],
      ["a/lazy.ts", `const { x } = await import("../x.ts")`],
      ["a/again.ts", `export { x } from "../x.ts"`],
      ["a/far.ts", `import {\n  y,\n} from "./again.ts"`],
      ["a/other.ts", `import { z } from "../z.ts"`],
    ]),
  )
  expect([...dependents(graph, ["x.ts"])].toSorted()).toEqual([
    "a/again.ts",
    "a/far.ts",
    "a/lazy.ts",
    "a/side.ts",
    "a/type.ts",
    "x.ts",
  ])
})

test("an export is used by an import of any form, or by a signature where it is a type", () => {
  const unused = (source: string, importer = "") =>
    unusedExports(
      new Map([
        ["src/x.ts", source],
        ["test/y.ts", importer],
      ]),
      "src",
    )
  const one = "export const one = 1"
  expect(unused(one)).toEqual(["src/x.ts: one"])
  for (const importer of [
    `import { one } from "../src/x.ts"`,
    `import { two, one as first } from "../src/x.ts"`,
    `import * as X from "../src/x.ts"\nX.one`,
    `export { one } from "../src/x.ts"`,
    `const { one } = await import("../src/x.ts")`,
  ]) {
    expect(unused(one, importer)).toEqual([])
  }
  expect(unused(one, `import { one } from "../src/other.ts"`)).toEqual(["src/x.ts: one"])
  expect(unused(one, `import * as X from "../src/x.ts"\nX.two`)).toEqual(["src/x.ts: one"])
  expect(unused("export interface Shape {}\nconst make = (): Shape => ({})")).toEqual([])
  expect(unused("export interface Shape {}")).toEqual(["src/x.ts: Shape"])
  expect(unused("const a = 1\nexport { a, type B as C }")).toEqual(["src/x.ts: a", "src/x.ts: C"])
})
