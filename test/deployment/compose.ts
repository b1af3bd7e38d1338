import { Schema } from "effect"

const Healthcheck = Schema.Struct({
  test: Schema.optional(Schema.NonEmptyArray(Schema.String)),
  interval: Schema.String,
  timeout: Schema.String,
  retries: Schema.Number,
  start_period: Schema.String,
})

const Service = Schema.Struct({
  image: Schema.optional(Schema.String),
  build: Schema.optional(Schema.String),
  profiles: Schema.optional(Schema.Array(Schema.String)),
  networks: Schema.optional(
    Schema.Record({ key: Schema.String, value: Schema.Struct({ aliases: Schema.Array(Schema.String) }) }),
  ),
  restart: Schema.optional(Schema.String),
  init: Schema.optional(Schema.Boolean),
  entrypoint: Schema.optional(Schema.Array(Schema.String)),
  command: Schema.optional(Schema.Array(Schema.String)),
  extra_hosts: Schema.optional(Schema.Array(Schema.String)),
  ports: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }),
  volumes: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }),
  environment: Schema.Record({
    key: Schema.String,
    value: Schema.NullOr(Schema.Union(Schema.String, Schema.Number)),
  }),
  depends_on: Schema.optionalWith(
    Schema.Record({
      key: Schema.String,
      value: Schema.Struct({ condition: Schema.String, required: Schema.optional(Schema.Boolean) }),
    }),
    { default: () => ({}) },
  ),
  healthcheck: Schema.optional(Healthcheck),
  stop_grace_period: Schema.optional(Schema.String),
  read_only: Schema.optional(Schema.Boolean),
  tmpfs: Schema.optional(Schema.String),
  cap_drop: Schema.optional(Schema.Array(Schema.String)),
  cap_add: Schema.optional(Schema.Array(Schema.String)),
  security_opt: Schema.optional(Schema.Array(Schema.String)),
})

export type Service = typeof Service.Type

const ComposeFile = Schema.Struct({
  services: Schema.Record({ key: Schema.String, value: Service }),
  volumes: Schema.Record({ key: Schema.String, value: Schema.Null }),
})

const textOf = (name: string) => Bun.file(new URL(`../../${name}`, import.meta.url)).text()

const source = await textOf("docker-compose.yml")

/** The text of the file, without its comments. */
export const composeText = source.replace(/^\s*#.*$/gm, "")

export const main = Schema.decodeUnknownSync(ComposeFile)(Bun.YAML.parse(source))

const service = (name: string): Service => {
  const found = main.services[name]
  if (found === undefined) throw new Error(`there is no service ${name}`)
  return found
}

export const api = service("api")
export const db = service("db")
export const ollama = service("ollama")
export const ollamaModel = service("ollama-model")
export const speechModels = service("speech-models")

/** The variables in compose files, with their defaults: `${NAME:-default}`. */
export const variablesIn = (text: string): ReadonlyMap<string, ReadonlyArray<string>> => {
  const found = Map.groupBy(text.matchAll(/(?<!\$)\$\{(\w+):-([^}]*)\}/g), ([, name = ""]) => name)
  return new Map(
    Array.from(found, ([name, uses]) => [name, [...new Set(uses.map(([, , value = ""]) => value))]]),
  )
}
