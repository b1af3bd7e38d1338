import { expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, utimesSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import * as BunFileSystem from "@effect/platform-bun/BunFileSystem"
import { Effect, Layer } from "effect"
import * as TempFolder from "../src/temp-folder.ts"
import { setTmpdir } from "./support/turns.ts"

test("a start removes the folders of dead processes, and no others", async () => {
  const folder = mkdtempSync(join(tmpdir(), "voice-agent-test-"))
  const gone = Bun.spawn(["true"])
  await gone.exited
  const orphan = `voice-agent-${gone.pid}-orphan`
  const before = `voice-agent-${process.pid}-before`
  const others = [`voice-agent-${process.ppid}-living`, `voice-agent-${process.pid}-own`, "voice-agent-none"]
  const link = `voice-agent-${process.pid}-link`
  const links = () => {
    for (let at = 0; at < 20; at++) symlinkSync("/nowhere", join(folder, `${link}-${crypto.randomUUID()}`))
  }
  // The file system decides the order of names: some links come before the orphans.
  links()
  for (const name of [orphan, before, ...others]) mkdirSync(join(folder, name))
  links()
  utimesSync(join(folder, before), 1, 1)
  const restore = setTmpdir(folder)
  await Effect.runPromise(
    Effect.scoped(Layer.build(Layer.provide(TempFolder.layer, BunFileSystem.layer))),
  ).finally(restore)
  const left = readdirSync(folder).filter((name) => !name.startsWith(link))
  expect(left.toSorted()).toEqual(others.toSorted())
  rmSync(folder, { recursive: true })
})

test("the path is absolute if TMPDIR is not", async () => {
  const whole = tmpdir()
  const restore = setTmpdir(relative(process.cwd(), whole))
  const path = await Effect.runPromise(
    Effect.scoped(Effect.provide(TempFolder.tempFolder, BunFileSystem.layer)),
  ).finally(restore)
  expect(path).toStartWith(`${whole}/voice-agent-${process.pid}-`)
})
