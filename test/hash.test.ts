import { expect, test } from "bun:test"
import { join } from "node:path"
import { hashFile, sha256 } from "../src/hash.ts"
import { openWriter } from "../src/models/partial.ts"
import { withTempDir } from "./support/ffmpeg.ts"

const bytes = new Uint8Array(32 * 1024 ** 2).fill(7)
const digest = { algorithm: "sha256", encoding: "hex", expected: undefined } as const

/** How often a timer fires while the work runs. */
const ticksDuring = async (work: () => Promise<unknown>) => {
  let ticks = 0
  const timer = setInterval(() => {
    ticks += 1
  }, 1)
  await work().finally(() => clearInterval(timer))
  return ticks
}

test("the hash of a file", () =>
  withTempDir(async (folder) => {
    const path = join(folder, "large")
    await Bun.write(path, bytes)
    expect(await hashFile(path)).toBe(sha256(bytes))
    await expect(hashFile(join(folder, "none"))).rejects.toThrow()
  }))

test("timers fire while a file is hashed", () =>
  withTempDir(async (folder) => {
    const path = join(folder, "large")
    await Bun.write(path, bytes)
    expect(await ticksDuring(() => hashFile(path))).toBeGreaterThan(3)
  }))

test("timers fire while the kept part of a download is hashed", () =>
  withTempDir(async (folder) => {
    const path = join(folder, "large")
    await Bun.write(`${path}.download`, bytes)
    expect(
      await ticksDuring(async () => {
        const writer = await openWriter(path, bytes.length, digest)
        expect(await writer.finish()).toBe(sha256(bytes))
      }),
    ).toBeGreaterThan(3)
  }))
