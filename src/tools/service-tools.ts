import { Context, Effect, Layer } from "effect"
import { Settings } from "../config.ts"
import { makeMemoryTools } from "./built-in/memory.ts"
import { currentTime } from "./built-in/time.ts"
import type { RunnableTool } from "./runnable.ts"

/** The tools of every agent that the service runs. */
export class ServiceTools extends Context.Tag("voice-agent/ServiceTools")<
  ServiceTools,
  { readonly tools: ReadonlyArray<RunnableTool> }
>() {
  static layerOf(tools: ReadonlyArray<RunnableTool>) {
    return Layer.succeed(ServiceTools, { tools })
  }

  /** The built-in tools that BUILT_IN_TOOLS names. */
  static readonly layer = Layer.effect(
    ServiceTools,
    Effect.gen(function* () {
      const { builtIn } = (yield* Settings).tools
      const memory = yield* makeMemoryTools
      return {
        tools: [
          ...(builtIn.includes("time") ? [currentTime] : []),
          ...(builtIn.includes("memory") ? memory : []),
        ],
      }
    }),
  )
}
