import { Redacted } from "effect"
import type { Settings } from "../../config.ts"
import { type Finding, warning } from "./finding.ts"

/** The programs of MCP_STDIO_SERVERS that are not there. None is started. */
export const checkMcpPrograms = ({ mcpStdioServers }: Settings["Type"]): ReadonlyArray<Finding> =>
  Object.entries(Redacted.value(mcpStdioServers)).flatMap(([name, { command, cwd, env }]) => {
    const found = Bun.which(command, {
      ...(cwd === undefined ? {} : { cwd }),
      PATH: env.PATH ?? process.env.PATH ?? "",
    })
    return found !== null
      ? []
      : [
          warning(
            "mcp",
            `there is no program "${command}" for the MCP server "${name}"`,
            "Install it, or correct its command in MCP_STDIO_SERVERS.",
          ),
        ]
  })
