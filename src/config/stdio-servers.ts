import { Option, Redacted, Schema } from "effect"
import type { Check } from "./checks.ts"
import { jsonOrFile } from "./json-or-file.ts"

const StdioServers = Schema.Record({
  key: Schema.String,
  value: Schema.Struct({
    command: Schema.NonEmptyString,
    args: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }),
    /** Besides HOME, PATH and the like; the service's own environment is not passed on. */
    env: Schema.optionalWith(Schema.Record({ key: Schema.String, value: Schema.String }), {
      default: () => ({}),
    }),
    cwd: Schema.optional(Schema.String),
  }),
})

/** Files of other MCP clients have the servers in a field of their own. */
const Wrapped = Schema.transform(
  Schema.Struct({ mcpServers: StdioServers }),
  Schema.typeSchema(StdioServers),
  {
    strict: true,
    decode: ({ mcpServers }) => mcpServers,
    encode: (mcpServers) => ({ mcpServers }),
  },
)

const decode = Schema.decodeOption(Schema.parseJson(Schema.Union(Wrapped, StdioServers)))

type StdioServers = typeof StdioServers.Type

export const noStdioServers: Redacted.Redacted<StdioServers> = Redacted.make({})

/** The programs of MCP servers by name. Their environment often has keys. */
export const stdioServers: Check<Redacted.Redacted<StdioServers>> = {
  parse: (text) =>
    Option.map(
      Option.flatMap(jsonOrFile(text), (json) => decode(json)),
      Redacted.make,
    ),
  mustBe: 'JSON such as {"files":{"command":"mcp-files","args":["/srv"]}}, or the path of a file with it',
  advice: "In a shell or in .env, put JSON in single quotes.",
  isSecret: true,
}
