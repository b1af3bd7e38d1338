import { describe, expect, test } from "bun:test"
import { join } from "node:path"

const root = join(import.meta.dir, "../..")

const run = async (script: string, ...args: ReadonlyArray<string>) => {
  const child = Bun.spawn([process.execPath, "run", script, ...args], {
    cwd: root,
    stdout: "pipe",
    stderr: "pipe",
  })
  const [out, problem, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { out, problem, code }
}

describe.each(["bench", "soak", "overload"])("bun run %s", (name) => {
  test("--help prints the usage and starts nothing", async () => {
    const { out, code } = await run(name, "--help")
    expect(out).toStartWith(`Usage: bun run ${name} `)
    expect(code).toBe(0)
  })

  test("an unknown option prints the usage", async () => {
    const { out, problem, code } = await run(name, "--faster")
    expect(problem).toContain("--faster")
    expect(problem).toContain(`Usage: bun run ${name} `)
    expect(out).toBe("")
    expect(code).toBe(1)
  })
})
