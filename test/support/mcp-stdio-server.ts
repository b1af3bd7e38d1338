/** The MCP server of the tests as a program. */
import { StdioServerTransport } from "@modelcontextprotocol/server/stdio"
import { makeMcpTools } from "./mcp-tools.ts"

const mode = process.argv[2] ?? ""
if (mode === "hang") await new Promise(() => setInterval(() => undefined, 60_000))
if (mode === "exit") process.exit(3)
if (mode === "noise") {
  console.log("Starting up!")
  console.log("{}")
  console.error("x".repeat(1024 ** 2))
}
await makeMcpTools({ die: () => process.kill(process.pid, "SIGKILL") }).connect(new StdioServerTransport())
