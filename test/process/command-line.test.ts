/** The command line as a whole: help, completion, exit codes. */
import { afterAll, describe, expect, test } from "bun:test"
import { symlinkSync } from "node:fs"
import { chmod } from "node:fs/promises"
import { join } from "node:path"
import { bin, packageManager, version } from "../../package.json"
import { runCommand, runProcess, stopCommands } from "../support/commands.ts"
import { cleanUpProcesses, mainFile, newFolder, sourceFile } from "../support/process.ts"

afterAll(async () => {
  await stopCommands()
  await cleanUpProcesses()
})

/** Help works with any environment. */
const env = { PORT: "wrong" }
const run = (args: ReadonlyArray<string>) => runCommand(args, { env })

const commands = ["serve", "migrate", "users", "doctor", "talk", "login", "transcribe", "say"]

test.each([[["--help"]], [["-h"]], [["help"]]])("%j names every command, without colours", async (args) => {
  const { code, stdout, stderr } = await run(args)
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  for (const command of commands) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, "m"))
  expect(stdout).not.toContain("\u001b")
})

test.each(commands)("%s --help prints the usage", async (command) => {
  const { code, stdout, stderr } = await run([command, "--help"])
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  expect(stdout).toContain(command)
})

test("--version", async () => {
  expect(await run(["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" })
  expect(await runProcess(["--version"], { env })).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" })
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
  [["users", "create"], "See ./voice-agent users create --help."],
  [["toString"], 'There is no command "toString": use'],
  [["help", "toString"], 'There is no command "toString": use'],
  [["serve", "now"], 'There is no command "serve now"'],
  [["migrate", "now"], 'There is no command "migrate now"'],
  [["--loud"], 'There is no option "--loud"'],
  [["-v"], 'There is no option "-v"'],
])("%j is invalid: exit code 2", async (args, said) => {
  const { code, stdout, stderr } = await run(args)
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
  expect(stderr).toContain(said)
})

/** Of @effect/cli, on every argument and option. */
const stock = /user-defined|true or false|existing file|This (?:setting|option|argument)|--\w+ text/

test.each([
  [["--help"], "$ voice-agent [COMMAND]"],
  [["users"], "$ voice-agent users [COMMAND]"],
  [["help", "users"], "$ voice-agent users [COMMAND]"],
  [["users", "help", "rotate"], "$ voice-agent users rotate [--name NAME] [--json] <EMAIL>"],
  [["help", "say"], "$ voice-agent say (-o, --output FILE) [--json] <TEXT>"],
  [
    ["talk", "-h"],
    "$ voice-agent talk [--url URL] [--key KEY] [--email EMAIL] [--live] [--new] [(-o, --output FILE)] [--json] [FILE...]\n",
  ],
  [
    ["models", "pull", "--help"],
    "$ voice-agent models pull [--language CODE] [--default] [--stt] [--tts] [--llm] [--from FOLDER|URL] [(-y, --yes)] [--json] [NAME...]\n",
  ],
  [["models", "verify", "--help"], "$ voice-agent models verify [--json] [NAME...]\n"],
  [["models", "remove", "--help"], "$ voice-agent models remove [--json] <NAME>...\n"],
  [["transcribe", "--help"], "$ voice-agent transcribe [--json] <FILE>\n"],
])("%j shows the whole command", async (args, usage) => {
  const { code, stdout } = await run(args)
  expect(code).toBe(0)
  expect(stdout).toContain(`USAGE\n\n${usage}`)
  expect(stdout).not.toMatch(stock)
})

test("a reader that stops early is no failure", async () => {
  const script = `"${process.execPath}" "${mainFile}" --completions zsh | true; echo "\${PIPESTATUS[0]}"`
  const shell = Bun.spawn(["bash", "-c", script], { stdout: "pipe", stderr: "pipe" })
  expect(await Promise.all([shell.stdout.text(), shell.stderr.text()])).toEqual(["0\n", ""])
})

describe("./voice-agent", () => {
  const script = new URL("../../voice-agent", import.meta.url).pathname
  const tools = ["sh", "dirname", "readlink"]

  /** Runs a link to the script, as npm makes it, with only these programs besides its tools. */
  const runLinked = async (programs: Readonly<Record<string, string>>, args: ReadonlyArray<string>) => {
    const bin = newFolder()
    for (const name of tools) symlinkSync(Bun.which(name) ?? "", join(bin, name))
    for (const [name, target] of Object.entries(programs)) symlinkSync(target, join(bin, name))
    symlinkSync(script, join(bin, "voice-agent"))
    const child = Bun.spawn([join(bin, "voice-agent"), ...args], {
      cwd: bin,
      env: { PATH: bin },
      stdout: "pipe",
      stderr: "pipe",
    })
    return Promise.all([child.exited, child.stdout.text(), child.stderr.text()])
  }

  test("is the package's bin, and starts with bun", async () => {
    expect(bin).toEqual({ "voice-agent": "voice-agent" })
    expect(await runLinked({ bun: process.execPath }, ["--version"])).toEqual([0, `${version}\n`, ""])
    expect((await runLinked({ bun: process.execPath }, ["toString"]))[0]).toBe(2)
  })

  test("without bun, becomes the pinned one, found by npx", async () => {
    const folder = newFolder()
    const write = async (name: string, text: string) => {
      await Bun.write(join(folder, name), `#!/bin/sh\n${text}`)
      await chmod(join(folder, name), 0o755)
    }
    await write("npx", `for each; do echo "$each" >> "${folder}/asked"; done\necho "${folder}/the bun"\n`)
    await write("the bun", 'for each; do echo "$each"; done\nkill -TERM $$\nread -r _\n')
    const [code, said] = await runLinked({ npx: join(folder, "npx") }, ["say", "Two words", "-o", "a.mp3"])
    // The process that was started is the one that got the signal.
    expect(code).toBe(143)
    expect(said.trimEnd().split("\n")).toEqual([sourceFile, "say", "Two words", "-o", "a.mp3"])
    expect(await Bun.file(join(folder, "asked")).text()).toBe(
      `-y\n-p\n${packageManager}\n-c\ncommand -v bun\n`,
    )
  })

  test("without bun, fails where npx does", async () => {
    const folder = newFolder()
    await Bun.write(join(folder, "npx"), "#!/bin/sh\necho 'no network' >&2\nexit 7\n")
    await chmod(join(folder, "npx"), 0o755)
    expect(await runLinked({ npx: join(folder, "npx") }, ["--version"])).toEqual([7, "", "no network\n"])
  })
})
