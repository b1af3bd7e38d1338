import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { chmodSync, existsSync, readFileSync, readlinkSync, statSync } from "node:fs"
import { mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Either } from "effect"
import { type FfmpegProcess, hostBounds, makeStartFfmpeg } from "../../src/ffmpeg/sandbox.ts"
import { isAlive } from "../support/ffmpeg-witness.ts"
import { until } from "../support/turns.ts"

let folder = ""
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "voice-agent-test-"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** One of what the script says in ffmpeg's place; without a script it is ffmpeg. */
const withProcess = async <A>(script: string | undefined, use: (child: FfmpegProcess) => Promise<A>) => {
  const path = script === undefined ? "ffmpeg" : join(folder, crypto.randomUUID())
  if (script !== undefined) {
    await Bun.write(path, `#!/bin/sh\n${script}\n`)
    chmodSync(path, 0o755)
  }
  const args = script === undefined ? ["-f", "s16le", "-i", "pipe:0", "-f", "null", "-"] : []
  const child = makeStartFfmpeg(path)(args)
  return use(child).finally(child.kill)
}

/** What a script prints first, which goes on then. */
const firstLine = async ({ stdout }: FfmpegProcess) => {
  for await (const chunk of stdout) return new TextDecoder().decode(chunk).trim()
  return ""
}
const ending = (script: string) => withProcess(script, ({ ended }) => ended())

describe("how one ended that did not do what it was told to", () => {
  test.each([
    ["0", "exit 0", Either.right(undefined)],
    ["an error of its own", "echo bad >&2; exit 1", Either.left({ _tag: "Failed", message: "bad" })],
    ["nothing said", "exit 187", Either.left({ _tag: "Failed", message: "ffmpeg ended with 187" })],
    ["a crash", "kill -SEGV $$", Either.left({ _tag: "Failed", message: "ffmpeg ended with SIGSEGV" })],
    ["killed by another", "kill -KILL $$", Either.left({ _tag: "Killed" })],
  ] as const)("%s", async (_, script, expected) => {
    expect(await ending(script)).toEqual(expected as Either.Either<void, never>)
  })

  test("out of CPU", async () => {
    const start = makeStartFfmpeg("ffmpeg", { ...hostBounds(), cpuSeconds: 1 })
    const endless = start(["-f", "lavfi", "-i", "anoisesrc", "-f", "null", "-"])
    const ended = await endless.ended().finally(endless.kill)
    expect(ended).toMatchObject({ left: { _tag: "TooSlow" } })
  })

  test.each([
    ["a loader that misses a library", "echo no such library >&2; exit 127", "no such library"],
    ["what may not be run", "exit 126", "126"],
  ])("%s: no recording's fault", async (_, script, said) => {
    await expect(ending(script)).rejects.toThrow(said)
  })
})

describe("whatever one is", () => {
  test("it runs in no folder that could be removed while the service lives, and without an environment", async () => {
    const [cwd, variables] = (
      await withProcess('echo "$(pwd)|$(env | grep -vE "^(PWD|SHLVL|_|OLDPWD)=")"; cat', firstLine)
    ).split("|")
    expect({ cwd, variables }).toEqual({ cwd: "/", variables: "" })
  })

  test("what it started ends with it", async () => {
    const child = await withProcess("sleep 600 & echo $!; wait", async (started) => {
      const pid = Number(await firstLine(started))
      expect(isAlive(pid)).toBe(true)
      return pid
    })
    await until(() => isGone(child), "its end")
  })

  test("what it started ends also when it ends by itself", async () => {
    const child = await withProcess("sleep 600 > /dev/null 2>&1 & echo $!", async (started) => {
      const pid = Number(await firstLine(started))
      await started.ended()
      return pid
    })
    await until(() => isGone(child), "its end")
  })
})

/** One whose parent is gone may wait for whoever adopted it. */
const isGone = (pid: number) => {
  if (!isAlive(pid)) return true
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return !existsSync("/proc/self")
  }
}

describe.skipIf(hostBounds().prlimit === null)("where there is a prlimit", () => {
  test("ffmpeg itself has these bounds, and one thread's worth of everything", async () => {
    const found = await withProcess(undefined, async ({ pid, stdin }) => {
      await until(() => readlinkSync(`/proc/${pid}/exe`).includes("ffmpeg"), "ffmpeg in prlimit's place")
      const limits = readFileSync(`/proc/${pid}/limits`, "utf8")
      stdin.end()
      return Object.fromEntries(
        limits.split("\n").map((line) => {
          const [name = "", soft, hard] = line.split(/\s{2,}/)
          return [name, [soft, hard]]
        }),
      )
    })
    expect(found).toMatchObject({
      "Max data size": ["268435456", "268435456"],
      "Max address space": ["1073741824", "1073741824"],
      "Max file size": ["0", "0"],
      "Max core file size": ["0", "0"],
      "Max open files": ["64", "64"],
    })
  })

  test.each([
    [100, true],
    [300, false],
  ])("%d MB of memory: %p", async (mb, isGiven) => {
    const taken = await ending(`exec dd if=/dev/zero of=/dev/null bs=${mb}M count=1`)
    expect(Either.isRight(taken)).toBe(isGiven)
  })

  test("nothing can be written to a file", async () => {
    const file = join(folder, "written")
    expect(Either.isLeft(await ending(`echo secret > ${file}`))).toBe(true)
    expect(statSync(file).size).toBe(0)
    expect(await readdir(folder)).toContain("written")
  })
})

test("without a prlimit it runs all the same", async () => {
  const start = makeStartFfmpeg("ffmpeg", { ...hostBounds(), prlimit: null })
  const { stdout } = start(["-f", "lavfi", "-i", "sine=d=1:r=16000", "-f", "s16le", "pipe:1"])
  expect(await new Response(stdout).bytes()).toHaveLength(32_000)
})
