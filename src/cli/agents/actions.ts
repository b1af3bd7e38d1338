import { Effect, Either, Option } from "effect"
import { agentFields } from "../../agent/definition.ts"
import { parseDefinition, type StoredDefinition } from "../../agent/read-definition.ts"
import {
  type Agent,
  type AgentVersion,
  type Client,
  makeClient,
  type WarnedAgent,
} from "../../client/client.ts"
import { configuredId } from "../../schema.ts"
import { type AccountOptions, call, identify } from "../account.ts"
import { CommandFailed } from "../exit-code.ts"
import { print, withoutControls } from "../print.ts"
import { diffLines } from "./diff.ts"
import { type AgentFile, keyOf, readFiles, removeFile, textOf, writeFiles } from "./files.ts"

interface FolderOptions extends AccountOptions {
  readonly folder: string
  readonly json: boolean
}

/** The definition of an agent of the service, with the fields in their usual order. */
const definitionOf = (agent: Agent | AgentVersion): Effect.Effect<StoredDefinition, CommandFailed> => {
  const given: Readonly<Record<string, unknown>> = { ...agent }
  const fields = Object.keys(agentFields).flatMap((name) =>
    given[name] === undefined ? [] : [[name, given[name]] as const],
  )
  return Either.mapLeft(
    // The client reads fields that are absent as undefined.
    parseDefinition(JSON.parse(JSON.stringify(Object.fromEntries(fields)))),
    ({ field, reason }) =>
      new CommandFailed({
        message: `The agent ${agent.name} of the service has a field that this version does not know: ${field}: ${reason}`,
      }),
  )
}

const ownAgents = (client: Client, url: string) =>
  Effect.map(
    call(() => client.agents.list(), url),
    (all) => all.filter(({ id }) => id !== configuredId),
  )

const read = (client: Client, id: string, url: string) =>
  Effect.flatMap(
    call(() => client.agents.get(id), url),
    (agent) => Effect.map(definitionOf(agent), (definition) => ({ agent, definition })),
  )

/** Of an agent, newest first: the most that the service lists. */
const mostVersions = 100

/** The agent that once was as in the file, if its versions show it. */
const formerly = Effect.fnUntraced(function* (
  client: Client,
  url: string,
  { definition }: AgentFile,
  own: ReadonlyArray<Agent>,
) {
  for (const agent of own) {
    const versions = yield* call(() => client.agents.versions(agent.id, { limit: mostVersions }), url)
    for (const version of versions.filter((each) => keyOf(each) === keyOf(definition))) {
      if (textOf(yield* definitionOf(version)) === textOf(definition)) return Option.some(agent)
    }
  }
  return Option.none<Agent>()
})

/**
 * Removes the files of agents that have another name now, as an export wrote them: `apply` would create these agents again.
 * Names the other files without an agent.
 */
const removeRenamed = Effect.fnUntraced(function* (
  client: Client,
  options: FolderOptions,
  url: string,
  own: ReadonlyArray<Agent>,
) {
  for (const file of yield* readFiles(options.folder)) {
    const { path, definition } = file
    const { name } = definition
    if (own.some((agent) => keyOf(agent) === keyOf(definition))) continue
    const agent = Option.getOrUndefined(yield* formerly(client, url, file, own))
    if (agent === undefined) {
      const line = `Kept  ${path}: there is no agent ${name}. \`apply\` creates it, unless you delete the file.`
      yield* print(options.json, [line], { path, name, isChanged: false, hasAgent: false })
      continue
    }
    yield* removeFile(path)
    const line = `Removed ${path}: the agent ${name} is called ${agent.name} now.`
    yield* print(options.json, [line], { path, name, isChanged: true, isRemoved: true })
  }
})

/** Writes the agents of the service into files. */
export const exportAgents = Effect.fnUntraced(function* (options: FolderOptions) {
  const { url, apiKey } = yield* identify(options)
  const client = makeClient({ baseUrl: url, apiKey })
  const own = yield* ownAgents(client, url)
  const known = yield* Effect.forEach(own, ({ id }) => read(client, id, url))
  const files = yield* writeFiles(
    options.folder,
    known.map(({ definition }) => definition),
  )
  for (const { path, name, isChanged } of files) {
    yield* print(options.json, [`${isChanged ? "Wrote" : "Same "} ${path}: ${name}`], {
      path,
      name,
      isChanged,
    })
  }
  if (files.length === 0 && !options.json) yield* print(false, ["There are no agents to export."], {})
  yield* removeRenamed(client, options, url, own)
})

export interface ApplyOptions extends FolderOptions {
  readonly isDry: boolean
  readonly isPruning: boolean
}

type Change = "created" | "changed" | "unchanged" | "deleted" | "without a file"

const markOf: Readonly<Record<Change, string>> = {
  created: "+",
  changed: "~",
  unchanged: "=",
  deleted: "-",
  "without a file": "?",
}

/** Null for the fields that the definition does not have: they are removed. */
const changesTo = (definition: StoredDefinition) => ({
  ...Object.fromEntries(Object.keys(agentFields).map((name) => [name, null])),
  ...definition,
})

/** Makes the agents of the service as the files are. */
export const applyAgents = Effect.fnUntraced(function* (options: ApplyOptions) {
  const { isDry, isPruning } = options
  const files = yield* readFiles(options.folder)
  const { url, apiKey } = yield* identify(options)
  const client = makeClient({ baseUrl: url, apiKey })
  const own = yield* ownAgents(client, url)
  const counts = new Map<Change, number>()

  /** `agent`: as the service has it now. */
  const tell = (change: Change, name: string, diff: ReadonlyArray<string>, agent?: WarnedAgent) => {
    counts.set(change, (counts.get(change) ?? 0) + 1)
    const { warnings = [] } = agent ?? {}
    return print(
      options.json,
      [
        `${markOf[change]} ${name}: ${change}`,
        ...diff.map((line) => `    ${line}`),
        ...warnings.map(({ field, message }) => `  ! ${field}: ${withoutControls(message)}`),
      ],
      { name, outcome: change, isDry, ...(warnings.length === 0 ? {} : { warnings }) },
    )
  }

  /** What was done so far, or would be. */
  const done = () =>
    [...counts].flatMap(([outcome, count]) =>
      outcome === "unchanged" || outcome === "without a file" ? [] : [`${count} ${outcome}`],
    )

  /** The error names the file, and what was done before it. */
  const ofFile = <A>({ path }: AgentFile, request: () => Promise<A>) =>
    Effect.mapError(
      call(request, url),
      ({ message }) =>
        new CommandFailed({
          message: [
            `${path}: ${message}`,
            ...(done().length > 0 ? [`Before it: ${done().join(", ")}.`] : []),
          ].join(" "),
        }),
    )

  const applyOne = Effect.fnUntraced(function* (file: AgentFile) {
    const { definition } = file
    const known = own.find((agent) => keyOf(agent) === keyOf(definition))
    if (known === undefined) {
      const made = isDry ? undefined : yield* ofFile(file, () => client.agents.create(definition))
      return yield* tell("created", definition.name, diffLines("", textOf(definition)), made)
    }
    const { agent, definition: before } = yield* read(client, known.id, url)
    const diff = diffLines(textOf(before), textOf(definition))
    if (diff.length === 0) return yield* tell("unchanged", definition.name, [], agent)
    const { version } = agent
    const changes = { ...changesTo(definition), ...(version === null ? {} : { version }) }
    const changed = isDry ? undefined : yield* ofFile(file, () => client.agents.update(agent.id, changes))
    return yield* tell("changed", definition.name, diff, changed)
  })

  yield* Effect.forEach(files, applyOne, { discard: true })
  for (const agent of own) {
    if (files.some(({ definition }) => keyOf(definition) === keyOf(agent))) continue
    if (isPruning && !isDry) yield* call(() => client.agents.delete(agent.id), url)
    yield* tell(isPruning ? "deleted" : "without a file", agent.name, [])
  }
  const summary = [...counts].map(([change, count]) => `${count} ${change}`).join(", ")
  if (options.json) return
  yield* print(
    false,
    [
      `${isDry ? "Nothing was changed. It would be: " : ""}${summary === "" ? "There are no agents" : summary}.`,
      ...(isDry && done().length > 0
        ? ["The service checks the values of fields, such as models and voices, only when they are applied."]
        : []),
    ],
    {},
  )
})
