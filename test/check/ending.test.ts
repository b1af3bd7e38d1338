import { expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { tempFolder } from "../support/temp-folders.ts"

const ending = join(import.meta.dir, "../../scripts/check/ending.ts")

/** A check with a folder and a process, which has started another one. */
const source = (folder: string) => `
import { rmSync, mkdirSync } from "node:fs"
import { acquire, endOnSignals, startGroup } from ${JSON.stringify(ending)}
endOnSignals()
acquire(() => mkdirSync(${JSON.stringify(join(folder, "made"))}), async () => {
  // A second signal comes while the first one is handled.
  process.kill(process.pid, "SIGTERM")
  await Bun.sleep(1)
  rmSync(${JSON.stringify(join(folder, "made"))}, { recursive: true })
})
startGroup((options) => Bun.spawn(["sh", "-c", "sleep 60 & echo $!; wait"], { ...options, stdio: ["ignore", "inherit", "inherit"] }))
setInterval(() => undefined, 1000)
`

test.each([
  ["SIGHUP", 129],
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("a check that gets %s twice leaves nothing", async (signal, code) => {
  const folder = tempFolder("ending")
  const script = join(folder, "check.ts")
  await Bun.write(script, source(folder))
  const check = Bun.spawn([process.execPath, script], { stdin: "ignore", stdout: "pipe", stderr: "inherit" })
  let grandchild = ""
  for await (const chunk of check.stdout.pipeThrough(new TextDecoderStream())) {
    grandchild = chunk.trim()
    check.kill(signal)
  }
  expect(await check.exited).toBe(code)
  expect(existsSync(join(folder, "made"))).toBe(false)
  expect(isRunning(grandchild)).toBe(false)
})

const isRunning = (pid: string) => {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch {
    return false
  }
}
