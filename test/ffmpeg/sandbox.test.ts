import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { chmodSync, existsSync, readFileSync, readlinkSync, statSync } from "node:fs"
import { mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Either } from "effect"
import {
  type FfmpegFailure,
  type FfmpegProcess,
  hostBounds,
  makeStartFfmpeg,
} from "../../src/ffmpeg/sandbox.ts"
import { processExists } from "../../src/process.ts"
import { until } from "../support/turns.ts"

let folder = ""
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "voice-agent-test-"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Runs the script in place of ffmpeg, or ffmpeg itself without a script. */
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

/** The first line that a script prints. The script then goes on. */
const firstLine = async ({ stdout }: FfmpegProcess) => {
  for await (const chunk of stdout) return new TextDecoder().decode(chunk).trim()
  return ""
}
const ending = (script: string) => withProcess(script, ({ ended }) => ended())

const failed = (message: string): FfmpegFailure => ({ _tag: "Failed", message })

describe("the failure after", () => {
  const failures: ReadonlyArray<readonly [string, string, FfmpegFailure]> = [
    ["an error", "echo bad >&2; exit 1", failed("bad")],
    ["an error without a message", "exit 187", failed("ffmpeg ended with 187")],
    ["a crash", "kill -SEGV $$", failed("ffmpeg ended with SIGSEGV")],
    ["a kill by another process", "kill -KILL $$", { _tag: "Killed" }],
  ]
  test.each(failures)("%s", async (_, script, expected) => {
    expect(await ending(script)).toEqual(Either.left(expected))
  })

  test("exit code 0: none", async () => {
    expect(await ending("exit 0")).toEqual(Either.right(undefined))
  })

  test("the CPU limit", async () => {
    const start = makeStartFfmpeg("ffmpeg", { ...hostBounds(), cpuSeconds: 1 })
    const endless = start(["-f", "lavfi", "-i", "anoisesrc", "-f", "null", "-"])
    const ended = await endless.ended().finally(endless.kill)
    expect(ended).toMatchObject({ left: { _tag: "TooSlow" } })
  })

  test.each([
    ["a missing library", "echo no such library >&2; exit 127", "no such library"],
    ["a file that is not executable", "exit 126", "126"],
  ])("%s is a rejection: no recording is at fault", async (_, script, said) => {
    await expect(ending(script)).rejects.toThrow(said)
  })
})

describe("every ffmpeg", () => {
  test("runs in / and without environment variables", async () => {
    const [cwd, variables] = (
      await withProcess('echo "$(pwd)|$(env | grep -vE "^(PWD|SHLVL|_|OLDPWD)=")"; cat', firstLine)
    ).split("|")
    expect({ cwd, variables }).toEqual({ cwd: "/", variables: "" })
  })

  test("is killed with the processes that it started", async () => {
    const child = await withProcess("sleep 600 & echo $!; wait", async (started) => {
      const pid = Number(await firstLine(started))
      expect(processExists(pid)).toBe(true)
      return pid
    })
    await until(() => isGone(child), "its end")
  })

  test("takes the processes that it started along when it exits", async () => {
    const child = await withProcess("sleep 600 > /dev/null 2>&1 & echo $!", async (started) => {
      const pid = Number(await firstLine(started))
      await started.ended()
      return pid
    })
    await until(() => isGone(child), "its end")
  })
})

/** Also true for a zombie whose new parent has not reaped it. */
const isGone = (pid: number) => {
  if (!processExists(pid)) return true
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return !existsSync("/proc/self")
  }
}

describe.skipIf(hostBounds().prlimit === null)("with prlimit", () => {
  test("ffmpeg has these limits", async () => {
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

test("without prlimit ffmpeg runs too", async () => {
  const start = makeStartFfmpeg("ffmpeg", { ...hostBounds(), prlimit: null })
  const { stdout } = start(["-f", "lavfi", "-i", "sine=d=1:r=16000", "-f", "s16le", "pipe:1"])
  expect(await new Response(stdout).bytes()).toHaveLength(32_000)
})
