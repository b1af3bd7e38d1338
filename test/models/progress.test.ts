import { expect, test } from "bun:test"
import { makeProgressPrinter } from "../../src/cli/models/progress.ts"

const at = (received: number, item = "file") => ({ model: "small", item, received, size: 4_000_000 })

test("a line per quarter", () => {
  const written: Array<string> = []
  const { onProgress, end } = makeProgressPrinter("lines", (text) => written.push(text))
  for (let received = 0; received <= 4_000_000; received += 100_000) onProgress(at(received))
  onProgress(at(0, "other"))
  end()
  expect(written.slice(0, 2)).toEqual([
    "small  file  0.0 of 4.0 MB  0 %\n",
    "small  file  1.0 of 4.0 MB  25 %\n",
  ])
  expect(written).toHaveLength(6)
})

test("one changing line on a terminal", () => {
  const written: Array<string> = []
  let now = 0
  const { onProgress, end } = makeProgressPrinter(
    "terminal",
    (text) => written.push(text),
    () => now,
  )
  for (const received of [0, 1, 2]) onProgress(at(received))
  now = 200
  onProgress(at(3_000_000))
  onProgress(at(4_000_000))
  end()
  end()
  expect(written).toEqual([
    "\rsmall  file  0.0 of 4.0 MB  0 %\x1b[K",
    "\rsmall  file  3.0 of 4.0 MB  75 %\x1b[K",
    "\rsmall  file  4.0 of 4.0 MB  100 %\x1b[K",
    "\n",
  ])
})

test("a pause before another attempt", () => {
  const pause = { model: "small", item: "file", reason: "the server has trouble (status 503)", seconds: 4 }
  const printed = (kind: "terminal" | "lines" | "json") => {
    const written: Array<string> = []
    makeProgressPrinter(kind, (text) => written.push(text)).onPause(pause)
    return written.join("")
  }
  const line = "small  file  the server has trouble (status 503): next attempt in 4 s"
  expect(printed("terminal")).toBe(`\r${line}\x1b[K`)
  expect(printed("lines")).toBe(`${line}\n`)
  expect(JSON.parse(printed("json"))).toEqual({ event: "pause", ...pause })
})

test("JSON", () => {
  const written: Array<string> = []
  makeProgressPrinter("json", (text) => written.push(text)).onProgress(at(0))
  expect(JSON.parse(written.join(""))).toEqual({ event: "progress", ...at(0) })
})

test("an empty file is whole", () => {
  const written: Array<string> = []
  makeProgressPrinter("lines", (text) => written.push(text)).onProgress({ ...at(0), size: 0 })
  expect(written).toEqual(["small  file  0.0 of 0.0 MB  100 %\n"])
})
