import { Either, Option, type ParseResult, Predicate, Redacted, Schema } from "effect"
import { faultsOf, kindsOfAst } from "../decode-issues.ts"
import type { Check } from "./checks.ts"
import { readJsonOrFile } from "./json-or-file.ts"

const StdioServer = Schema.Struct({
  command: Schema.NonEmptyString,
  args: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }),
  /** Besides HOME, PATH and the like; the service's own environment is not passed on. */
  env: Schema.optionalWith(Schema.Record({ key: Schema.String, value: Schema.String }), {
    default: () => ({}),
  }),
  cwd: Schema.optional(Schema.String),
})

const StdioServers = Schema.Record({ key: Schema.String, value: StdioServer })

/** Files of other MCP clients have the servers in a field of their own, and fields that are not for the service. */
const Servers = Schema.transform(Schema.Unknown, StdioServers, {
  strict: false,
  decode: (value) => (Predicate.hasProperty(value, "mcpServers") ? value.mcpServers : value),
  encode: (servers) => servers,
})

/** No value is quoted: it may be a key. */
const sentenceOf = ({ issue }: ParseResult.ParseError): string => {
  const [fault] = faultsOf(issue, [])
  const [server, ...field] = fault?.path.map(String) ?? []
  if (server === undefined) return "it is no JSON object"
  const subject = `${field.length === 0 ? "" : `${field.join(".")} of `}the server ${JSON.stringify(server)}`
  switch (fault?.leaf._tag) {
    case "Missing":
      return `${subject} is missing`
    case "Refinement":
      return `${subject} is empty`
    case "Type":
      return `${subject} must be ${kindsOfAst(fault.leaf.ast)
        .map((kind) => names[kind] ?? kind)
        .join(" or ")}`
    default:
      return `${subject} is wrong`
  }
}

const names: Readonly<Record<string, string>> = {
  string: "a text",
  object: "an object",
  array: "a list of texts",
}

const read = readJsonOrFile(Servers, sentenceOf, "ignore")

type StdioServers = typeof StdioServers.Type

export const noStdioServers: Redacted.Redacted<StdioServers> = Redacted.make({})

/** The programs of MCP servers by name. Their environment often has keys. */
export const stdioServers: Check<Redacted.Redacted<StdioServers>> = {
  parse: (text) => Option.map(Either.getRight(read(text)), Redacted.make),
  explain: (text) => Either.match(read(text), { onLeft: (fault) => fault, onRight: () => "" }),
  mustBe: 'JSON such as {"files":{"command":"mcp-files","args":["/srv"]}}, or the path of a file with it',
  advice: "In a shell or in .env, put JSON in single quotes.",
  isSecret: true,
}
