import { Context, Layer } from "effect"
import type { RunnableTool } from "./runnable.ts"

/** The tools of every agent that the service runs. */
export class ServiceTools extends Context.Tag("voice-agent/ServiceTools")<
  ServiceTools,
  { readonly tools: ReadonlyArray<RunnableTool> }
>() {
  static layerOf(tools: ReadonlyArray<RunnableTool>) {
    return Layer.succeed(ServiceTools, { tools })
  }

  static readonly layer = ServiceTools.layerOf([])
}
