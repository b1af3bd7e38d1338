/** The MCP server of the tests as a program. */
import { StdioServerTransport } from "@modelcontextprotocol/server/stdio"
import { makeMcpTools } from "./mcp-tools.ts"

const mode = process.argv[2] ?? ""
if (mode === "hang") await new Promise(() => setInterval(() => undefined, 60_000))
if (mode === "exit") process.exit(3)
await makeMcpTools({ die: () => process.kill(process.pid, "SIGKILL") }).connect(new StdioServerTransport())
