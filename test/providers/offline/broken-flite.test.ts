/** A flite that is installed, but does not work. */
import { expect, test } from "bun:test"
import { chmodSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { tempFolder } from "../../support/temp-folders.ts"
import { peakOf, samples, start } from "./engines.ts"

const flite = Bun.which("flite") ?? "flite"

/** The last argument is the file that flite writes to. */
const scripts: ReadonlyArray<readonly [name: string, script: string]> = [
  ["that lacks a library", "exit 127"],
  ["that crashes", "kill -SEGV $$"],
  ["that writes nothing", 'cat > /dev/null; : > "$6"'],
  ["that writes no file", "cat > /dev/null"],
  [
    "on a full disk, which writes a part and reports success",
    `${flite} "$@"; /usr/bin/truncate -s 20000 "$6"`,
  ],
]

const enginesWith = (script: string, ...others: ReadonlyArray<string>) => {
  const searchPath = tempFolder("programs")
  writeFileSync(join(searchPath, "flite"), `#!/bin/sh\n${script}\n`)
  chmodSync(join(searchPath, "flite"), 0o755)
  for (const program of others) symlinkSync(Bun.which(program) ?? "", join(searchPath, program))
  return start({ ffmpegPath: Bun.which("ffmpeg") ?? "ffmpeg", searchPath })
}

const sentence = "The quick brown fox jumps over the lazy dog and goes home."

test.each(scripts)("one %s: espeak-ng speaks the whole sentence", async (_, script) => {
  const own = await enginesWith(script, "espeak-ng")
  const pcm = await samples(await own.speak(sentence), "pcm")
  expect(pcm.length / 24_000).toBeWithin(2.5, 6)
  expect(peakOf(pcm)).toBeGreaterThan(1000)
  await own.stop()
})

test.each(scripts)("one %s, without espeak-ng: the request fails", async (_, script) => {
  const own = await enginesWith(script)
  await expect(own.speak(sentence)).rejects.toThrow(/"tts"/)
  await own.stop()
})
