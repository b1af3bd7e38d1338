/** `agents export` and `agents apply`, with a running service. */
import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Client, makeClient } from "../../src/client/client.ts"
import { runCommand, stopCommands } from "../support/commands.ts"
import { cleanUpProcesses, newFolder } from "../support/process.ts"
import { type Service, startService } from "../support/service.ts"

setDefaultTimeout(60_000)

let service: Service
let key = ""
let client: Client
beforeAll(async () => {
  service = await startService()
})
beforeEach(async () => {
  key = await service.register()
  client = makeClient({ baseUrl: service.url, apiKey: key })
})
afterAll(async () => {
  await service.stop()
  await stopCommands()
  await cleanUpProcesses()
})

const run = (...args: ReadonlyArray<string>) =>
  runCommand(["agents", ...args], {
    env: {
      XDG_STATE_HOME: newFolder(),
      VOICE_AGENT_URL: service.url.replace("/api/v1", ""),
      VOICE_AGENT_KEY: key,
    },
  })
const write = (folder: string, name: string, content: unknown) =>
  writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content))
const names = async () => (await client.agents.list()).map(({ name }) => name)

test("files are applied, and a second time changes nothing", async () => {
  const folder = newFolder()
  write(folder, "one.json", { name: "Ada", instructions: "You are Ada." })
  write(folder, "two.json", {
    name: "Grace",
    tools: [
      { type: "http", name: "order", url: "https://example.com", headers: { key: "{{secret:ORDERS}}" } },
    ],
  })
  write(folder, "notes.txt", "not an agent")
  const dry = await run("apply", folder, "--dry-run")
  expect([dry.code, dry.stderr]).toEqual([0, ""])
  expect(dry.stdout).toMatch(/^\+ Ada: created\n(.*\n)*.*\+ {3}"instructions": "You are Ada\."/)
  expect(dry.stdout).toEndWith(
    "Nothing was changed. It would be: 2 created.\n" +
      "The service checks the values of fields, such as models and voices, only when they are applied.\n",
  )
  expect(await names()).toEqual(["Default"])

  const message = "The tool needs the secret ORDERS. Set it with PUT /users/me/secrets/ORDERS."
  expect(dry.stdout).not.toContain(message)
  expect((await run("apply", folder)).stdout).toEndWith(`\n  ! tools.0: ${message}\n2 created.\n`)
  expect(await names()).toEqual(["Default", "Ada", "Grace"])
  expect((await run("apply", folder)).stdout).toBe(
    `= Ada: unchanged\n= Grace: unchanged\n  ! tools.0: ${message}\n2 unchanged.\n`,
  )

  write(folder, "one.json", { name: "Ada", greeting: "Hello." })
  const changed = await run("apply", folder, "--json")
  expect(
    changed.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line)),
  ).toEqual([
    { name: "Ada", outcome: "changed", isDry: false },
    {
      name: "Grace",
      outcome: "unchanged",
      isDry: false,
      warnings: [{ field: "tools.0", message }],
    },
  ])
  const [, ada] = await client.agents.list()
  const read = await client.agents.get(ada?.id ?? "")
  expect([read.version, read.instructions, read.greeting]).toEqual([2, undefined, "Hello."])
})

test("agents without a file stay, unless they are pruned", async () => {
  await client.agents.create({ name: "Old" })
  const folder = newFolder()
  write(folder, "new.json", { name: "New" })
  expect((await run("apply", folder)).stdout).toContain("? Old: without a file\n")
  expect(await names()).toEqual(["Default", "New", "Old"])
  expect((await run("apply", folder, "--prune", "--dry-run")).stdout).toContain("- Old: deleted\n")
  expect(await names()).toEqual(["Default", "New", "Old"])
  await run("apply", folder, "--prune")
  expect(await names()).toEqual(["Default", "New"])
})

test("an export is applied without a change, and keeps the names of files", async () => {
  const tool = { type: "client", name: "open_door" } as const
  await client.agents.create({ name: "Zoë & Co.", instructions: "Zoë.", tools: [tool], keyTerms: ["Zoë"] })
  await client.agents.create({ name: "zoe co" })
  await client.agents.create({ name: "Ada" })
  const folder = newFolder()
  write(folder, "mine.json", { name: "ada" })
  const exported = await run("export", folder)
  expect([exported.code, exported.stderr]).toEqual([0, ""])
  expect(readdirSync(folder).toSorted()).toEqual(["mine.json", "zoe-co-2.json", "zoe-co.json"])
  expect(readFileSync(join(folder, "zoe-co-2.json"), "utf8")).toStartWith(
    '{\n  "name": "Zoë & Co.",\n  "instructions": "Zoë.",\n',
  )
  expect((await run("export", folder)).stdout).not.toContain("Wrote")
  expect((await run("apply", folder)).stdout).toEndWith("3 unchanged.\n")
})

test("an export removes what it wrote for an agent that has another name now", async () => {
  const agent = await client.agents.create({ name: "Concierge", instructions: "Help." })
  await client.agents.create({ name: "Ada" })
  const folder = newFolder()
  await run("export", folder)
  write(folder, "mine.json", { name: "Mine" })
  write(folder, "edited.json", { name: "Concierge", instructions: "Help more." })
  await client.agents.update(agent.id, { name: "Concierge 2" })
  // Two files of one name are no folder of agents.
  expect((await run("export", folder)).code).toBe(1)
  rmSync(join(folder, "edited.json"))

  const { code, stdout } = await run("export", folder)
  expect(code).toBe(0)
  expect(stdout).toContain(
    `Removed ${join(folder, "concierge.json")}: the agent Concierge is called Concierge 2 now.\n`,
  )
  expect(stdout).toContain(`Kept  ${join(folder, "mine.json")}: there is no agent Mine.`)
  expect(readdirSync(folder).toSorted()).toEqual(["ada.json", "concierge-2.json", "mine.json"])

  // A file that somebody changed stays.
  write(folder, "edited.json", { name: "Concierge", instructions: "Help more." })
  const again = await run("export", folder, "--json")
  const lines = again.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
  expect(lines.filter(({ hasAgent }) => hasAgent === false).map(({ name }) => name)).toEqual([
    "Concierge",
    "Mine",
  ])
  expect(readdirSync(folder)).toContain("edited.json")
})

test("what is wrong is named, and nothing is changed before that", async () => {
  const folder = newFolder()
  write(folder, "a.json", { name: "Good" })
  const wrong: ReadonlyArray<readonly [unknown, string]> = [
    ["{", "b.json cannot be read as JSON."],
    [[], "b.json: body: must be object"],
    [{ name: "Bad", instruction: "x" }, "b.json: instruction: is not a field of an agent"],
    [{ name: "good" }, "a.json have the same name: good."],
  ]
  for (const [content, message] of wrong) {
    write(folder, "b.json", content)
    const { code, stderr } = await run("apply", folder)
    expect([code, stderr]).toEqual([1, expect.stringContaining(message)])
  }
  expect(await names()).toEqual(["Default"])
  write(folder, "b.json", { name: "Bad", llm: { model: "gpt-5" } })
  const { code, stderr } = await run("apply", folder)
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(
      /b\.json: VALIDATION_ERROR: llm\.model: must be gpt-3\.5-turbo.* Before it: 1 created\./,
    ),
  ])
  const missing = await run("apply", join(folder, "none"))
  expect([missing.code, missing.stderr]).toEqual([1, expect.stringContaining("none cannot be read")])
})
