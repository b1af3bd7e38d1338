/** How a program that recognizes speech is run. The program is a script that writes what it was given. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import * as BunFileSystem from "@effect/platform-bun/BunFileSystem"
import { Effect } from "effect"
import { makePocketsphinx } from "../../../src/providers/offline/pocketsphinx.ts"

const rate = 16_000
const searchPath = mkdtempSync(join(tmpdir(), "programs-"))
beforeAll(async () => {
  const program = join(searchPath, "pocketsphinx_batch")
  // The first sample behind the 400 ms of padding, and the number of bytes.
  await Bun.write(
    program,
    `#!/bin/sh
export PATH=${process.env.PATH}
while [ $# -gt 0 ]; do case $1 in -cepdir) in=$2;; -hyp) out=$2;; esac; shift; done
first=$(od -An -t d2 -j 12800 -N 2 $in/speech.raw | tr -d ' ')
[ "$first" = 7000 ] && { : > $out; exit 0; }
echo "part $first $(wc -c < $in/speech.raw) (speech -1)" > $out
`,
  )
  chmodSync(program, 0o755)
})
afterAll(() => rmSync(searchPath, { recursive: true }))

/** What the program was given of a recording: the first sample and the seconds of each part. */
const hear = async (samples: Int16Array) => {
  let progress = 0
  const taken: Array<number> = []
  let running = 0
  const takeSlot = Effect.zipRight(
    Effect.sync(() => {
      running += 1
      taken.push(running)
    }),
    Effect.addFinalizer(() =>
      Effect.sync(() => {
        running -= 1
      }),
    ),
  )
  const text = await Effect.gen(function* () {
    const { transcribe } = yield* makePocketsphinx({ searchPath, takeSlot })
    return yield* transcribe(new Uint8Array(samples.buffer), {
      onProgress: () => {
        progress += 1
      },
    })
  }).pipe(Effect.scoped, Effect.provide(BunFileSystem.layer), Effect.runPromise)
  const parts = [...text.matchAll(/part (-?\d+) (\d+)/gi)].map(([, first, bytes]) => ({
    first: Number(first),
    seconds: Number(bytes) / 2 / rate - 0.8,
  }))
  return { text, parts, progress, most: Math.max(...taken) }
}

/** Each sample is the second that it is in, and a pause is in the middle of each second. */
const counting = (seconds: number) =>
  Int16Array.from({ length: seconds * rate }, (_, at) =>
    at % rate > 0.5 * rate && at % rate < 0.6 * rate ? 0 : 1000 + Math.floor(at / rate),
  )

test("an empty result is a failure, and no silence", async () => {
  const failure = await hear(new Int16Array(rate).fill(7000)).then(
    () => "",
    (error: unknown) => `${error}`,
  )
  expect(failure).toContain("ProgramFailed")
})

test("a recording of 15 s is one part", async () => {
  const { parts, progress } = await hear(counting(15))
  expect(parts).toEqual([{ first: 1000, seconds: 15 }])
  expect(progress).toBe(1)
})

test.each([16, 40, 155, 300])("one of %i s is heard in parts, in order, cut in pauses", async (seconds) => {
  const { text, parts, progress, most } = await hear(counting(seconds))
  expect(text).toMatch(/^Part .*\.$/)
  expect(parts.reduce((sum, part) => sum + part.seconds, 0)).toBeCloseTo(seconds, 5)
  for (const part of parts) expect(part.seconds).toBeWithin(4, 15.001)
  // A part begins in a pause.
  expect(parts.slice(1).every(({ first }) => first === 0)).toBe(true)
  expect(progress).toBe(parts.length)
  expect(most).toBeLessThanOrEqual(availableParallelism())
})
