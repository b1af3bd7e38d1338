import { Option } from "effect"
import type { Tool } from "../providers/tools.ts"
import type { RunnableTool } from "../tools/runnable.ts"
import type { Agent } from "./agent.ts"

/** A tool of an agent, and who runs it. */
export type CalledTool =
  | { readonly by: "client"; readonly tool: Tool }
  | { readonly by: "service"; readonly tool: Tool; readonly runnable: RunnableTool }

type Tools = Pick<Agent, "calling" | "acting">

const ofClient = (tool: Tool): CalledTool => ({ by: "client", tool })
const ofService = (runnable: RunnableTool): CalledTool => ({ by: "service", tool: runnable.tool, runnable })

/** The tools of an agent. One of the client takes the place of one of the service with the same name. */
export const toolsOf = ({ calling, acting }: Tools): ReadonlyArray<CalledTool> => {
  const names = new Set(calling.tools.map(({ name }) => name))
  const own = acting.tools.filter(({ tool }) => !names.has(tool.name))
  return [...own.map(ofService), ...calling.tools.map(ofClient)]
}

/** The one of these tools that a call names. None: there is none, or it is gone. */
export const toolNamed = ({ calling, acting }: Tools, name: string): Option.Option<CalledTool> =>
  Option.orElse(
    Option.map(Option.fromNullable(calling.tools.find((tool) => tool.name === name)), ofClient),
    () =>
      Option.map(
        Option.fromNullable(
          acting.tools.find(({ tool }) => tool.name === name) ??
            acting.tools.find(({ standsFor }) => standsFor !== undefined && name.startsWith(standsFor)),
        ),
        ofService,
      ),
  )

/** For the metrics. `unknown`: the agent has no such tool. */
export const kindOf = (called: Option.Option<CalledTool>) =>
  Option.match(called, {
    onNone: () => "unknown" as const,
    onSome: (found) => (found.by === "client" ? found.by : (found.runnable.kind ?? ("builtin" as const))),
  })
