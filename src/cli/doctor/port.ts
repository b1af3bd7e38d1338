import { Effect } from "effect"
import type { Settings } from "../../config.ts"
import { type Finding, messageOf, ok, problem } from "./finding.ts"

const check = "port"

const isThisService = async (host: string, port: number) => {
  const everywhere = host === "0.0.0.0" || host === "::"
  const name = everywhere ? "127.0.0.1" : host.includes(":") ? `[${host}]` : host
  try {
    const answer = await fetch(`http://${name}:${port}/api/v1/health`, { signal: AbortSignal.timeout(2000) })
    return (await answer.text()).includes("voice-agent-api")
  } catch {
    return false
  }
}

/** Opens the port as the service would, and closes it at once. */
const look = async ({ host, port }: Settings["Type"]): Promise<Finding> => {
  if (port === 0) return ok(check, "any free port")
  try {
    const server = Bun.serve({ hostname: host, port, reusePort: false, fetch: () => new Response() })
    await server.stop(true)
    return ok(check, `${port} is free`)
  } catch (error) {
    if (await isThisService(host, port)) return ok(check, `${port}: the service runs there`)
    return problem(
      check,
      `${port} of ${host} could not be opened: ${messageOf(error)}`,
      "Stop the program that uses the port, or set PORT or HOST.",
    )
  }
}

export const checkPort = (settings: Settings["Type"]) => Effect.promise(() => look(settings))
