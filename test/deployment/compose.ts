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
  restart: Schema.optional(Schema.String),
  init: Schema.optional(Schema.Boolean),
  entrypoint: Schema.optional(Schema.Array(Schema.String)),
  command: Schema.optional(Schema.Array(Schema.String)),
  ports: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }),
  volumes: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }),
  environment: Schema.Record({
    key: Schema.String,
    value: Schema.NullOr(Schema.Union(Schema.String, Schema.Number)),
  }),
  depends_on: Schema.optionalWith(
    Schema.Record({ key: Schema.String, value: Schema.Struct({ condition: Schema.String }) }),
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

export type ComposeFile = typeof ComposeFile.Type

const textOf = (name: string) => Bun.file(new URL(`../../${name}`, import.meta.url)).text()

const texts = { main: await textOf("docker-compose.yml"), local: await textOf("compose.local.yml") }

/** The text of both files, without their comments. */
export const composeFiles = Object.values(texts)
  .join("\n")
  .replace(/^\s*#.*$/gm, "")

export const main = Schema.decodeUnknownSync(ComposeFile)(Bun.YAML.parse(texts.main))
export const local = Schema.decodeUnknownSync(ComposeFile)(Bun.YAML.parse(texts.local))

const service = ({ services }: ComposeFile, name: string): Service => {
  const found = services[name]
  if (found === undefined) throw new Error(`there is no service ${name}`)
  return found
}

export const api = service(main, "api")
export const db = service(main, "db")
export const localApi = service(local, "api")

/** The variables in compose files, with their defaults: `${NAME:-default}`. */
export const variablesIn = (text: string): ReadonlyMap<string, ReadonlyArray<string>> => {
  const found = Map.groupBy(text.matchAll(/(?<!\$)\$\{(\w+):-([^}]*)\}/g), ([, name = ""]) => name)
  return new Map(
    Array.from(found, ([name, uses]) => [name, [...new Set(uses.map(([, , value = ""]) => value))]]),
  )
}
