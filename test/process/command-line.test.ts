/** The command line as a whole: help, completion, exit codes. */
import { afterAll, expect, test } from "bun:test"
import { cleanUpProcesses, mainFile, startProcess } from "../support/process.ts"

afterAll(cleanUpProcesses)

const run = async (args: ReadonlyArray<string>) => {
  // Help works with any environment.
  const child = startProcess({ args: [mainFile, ...args], env: { PORT: "wrong" } })
  const code = await child.ended
  return { code, stdout: child.stdout(), stderr: child.stderr() }
}

const commands = ["serve", "migrate", "users", "doctor", "talk", "login", "transcribe", "say"]

test.each([[["--help"]], [["-h"]], [["help"]]])("%j names every command, without colours", async (args) => {
  const { code, stdout, stderr } = await run(args)
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  for (const command of commands) expect(stdout).toContain(`- ${command}`)
  expect(stdout).not.toContain("\u001b")
})

test.each(commands)("%s --help prints the usage", async (command) => {
  const { code, stdout, stderr } = await run([command, "--help"])
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  expect(stdout).toContain(command)
})

test("--version", async () => {
  const { version } = await Bun.file(new URL("../../package.json", import.meta.url)).json()
  expect(await run(["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" })
})

test.each(["bash", "zsh", "fish"])("the completion for %s knows the commands", async (shell) => {
  const { code, stdout } = await run(["--completions", shell])
  expect(code).toBe(0)
  for (const command of commands) expect(stdout).toContain(command)
  for (const command of ["create", "rotate", "revoke"]) expect(stdout).toContain(command)
  if (Bun.which(shell) === null) return
  const read = Bun.spawnSync([shell, "-n"], { stdin: new TextEncoder().encode(stdout), stderr: "pipe" })
  expect({ code: read.exitCode, stderr: read.stderr.toString() }).toEqual({ code: 0, stderr: "" })
})

test.each([
  [["doctor", "--loud"], "--loud"],
  [["talk", "--url"], "--url"],
  [["transcribe"], "FILE"],
])("%j is invalid: exit code 2", async (args, said) => {
  const { code, stdout, stderr } = await run(args)
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
  expect(stderr).toContain(said)
})

test("the package's bin starts it", async () => {
  const child = Bun.spawn([mainFile, "--version"], { stdout: "pipe" })
  expect(await child.stdout.text()).toMatch(/^\d+\.\d+\.\d+\n$/)
})
