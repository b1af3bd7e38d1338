/** The settings of docs/guides/providers.md hold a conversation with a server that speaks the provider's dialect. */
import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { ConfigProvider, Effect, Layer, Schema } from "effect"
import { checkProviders } from "../../src/cli/doctor/providers.ts"
import { Settings } from "../../src/config.ts"
import { wav16k } from "../support/audio.ts"
import { hosted } from "../support/dialects/hosted.ts"
import { local } from "../support/dialects/local.ts"
import {
  type Dialect,
  type DialectServer,
  reply,
  startDialect,
  transcript,
} from "../support/dialects/server.ts"
import { startService } from "../support/service.ts"

setDefaultTimeout(60_000)

const guide = await Bun.file(new URL("../../docs/guides/providers.md", import.meta.url)).text()

/** The blocks with settings below the heading of a provider. */
const blocksOf = (heading: string): ReadonlyArray<ReadonlyArray<readonly [string, string]>> => {
  const section = guide.split(/^#+ /m).find((each) => each.startsWith(`${heading}\n`)) ?? ""
  return [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, lines = ""]) =>
    lines
      .trim()
      .split("\n")
      // .env and shells remove the single quotes around JSON.
      .map((line) => /^(\w+)=(['"]?)(.*)\2$/.exec(line) ?? [])
      .map(([, name = "", , value = ""]) => [name, value] as const),
  )
}

/** The settings, with the server in place of the provider's host. Paths and queries stay. */
const settingsFor = (
  block: ReadonlyArray<readonly [string, string]>,
  { keyHeader }: Dialect,
  origin: string,
) => {
  const given = block.map(([name, value]): readonly [string, string] => {
    // In place of `sk-…` and `KEY`.
    if (name.endsWith("_API_KEY")) return [name, "sk-test"]
    if (!name.endsWith("_BASE_URL")) return [name, value]
    const { pathname, search } = new URL(value)
    return [name, `${origin}${pathname}${search}`]
  })
  const hasServer = given.some(([name]) => name.endsWith("_BASE_URL"))
  return Object.fromEntries([
    ...(hasServer ? [] : [["OPENAI_BASE_URL", `${origin}/v1`]]),
    // In production, the header follows from Azure's host: address.test.ts.
    ...(keyHeader === undefined ? [] : [["LLM_API_KEY_HEADER", keyHeader]]),
    ...given,
  ])
}

const Answer = Schema.Struct({
  transcript: Schema.String,
  response: Schema.String,
  audio: Schema.Struct({ base64: Schema.NonEmptyString }),
})

const stages = ["stt", "llm", "tts"] as const
const servedBy = ({ routes }: Dialect) => stages.filter((stage) => routes[stage] !== undefined)

const dialects = { ...hosted, ...local }

/** What doctor says of the stages that the dialect serves. */
const examine = async (env: Record<string, string>, stages: ReadonlyArray<string>) => {
  const provider = ConfigProvider.fromMap(new Map(Object.entries({ OPENAI_API_KEY: "sk-test", ...env })))
  const findings = await Effect.runPromise(
    Effect.flatMap(Settings, (settings) => checkProviders(settings, Effect.succeed([]))).pipe(
      Effect.provide(Layer.provide(Settings.layer, Layer.setConfigProvider(provider))),
    ),
  )
  return findings.filter(({ check }) => stages.includes(check))
}

const converse = async (env: Record<string, string>, dialect: Dialect, server: DialectServer) => {
  const service = await startService({ env })
  try {
    const key = await service.register()
    const audio = new Blob([await wav16k()])
    const turn = async () => {
      const answer = await service.converse(key, audio, { accept: "application/json" })
      const body: unknown = await answer.json()
      expect({ status: answer.status, body }).toMatchObject({ status: 200 })
      return Schema.decodeUnknownSync(Answer)(body)
    }
    const first = await turn()
    if (dialect.routes.stt !== undefined) expect(first.transcript).toBe(transcript)
    if (dialect.routes.llm !== undefined) expect(first.response).toBe(reply)
    const refused = server.refused.length
    for (const stage of stages) {
      expect(server.refused.filter((asked) => asked.stage === stage).length).toBeLessThanOrEqual(2)
    }
    // What was learned makes the second turn succeed at once.
    await turn()
    expect(server.refused).toHaveLength(refused)
    const served = new Set(server.asked.map(({ stage }) => stage))
    expect(stages.filter((stage) => served.has(stage))).toEqual(servedBy(dialect))
    expect(server.strays).toEqual([])
    expect(service.upstream.refusals()).toEqual([])
  } finally {
    await service.stop()
  }
}

describe.each(Object.entries(dialects))("%s", (heading, variants) => {
  test("has one block of settings for each dialect", () => {
    expect(blocksOf(heading)).toHaveLength(variants.length)
  })

  test.each(variants.map((dialect, index) => [index + 1, dialect] as const))(
    "block %d",
    async (number, dialect) => {
      const server = startDialect(dialect)
      try {
        const env = settingsFor(blocksOf(heading)[number - 1] ?? [], dialect, server.origin)
        await converse(env, dialect, server)
        const stages = servedBy(dialect)
        const findings = await examine(env, stages)
        expect(findings.map(({ state }) => state)).toEqual(stages.map(() => "ok"))
      } finally {
        await server.stop()
      }
    },
  )
})

test("every provider of the guide has a dialect", () => {
  const sections = /^## Hosted providers$.*?(?=^## What a server refuses$)/ms.exec(guide)?.[0] ?? ""
  const headings = [...sections.matchAll(/^### (.*)$/gm)].map(([, heading = ""]) => heading)
  expect(headings.toSorted()).toEqual(Object.keys(dialects).toSorted())
})
