/**
 * The service with two tools that count their calls: each appends a line with the tool, the label of the call and its
 * idempotency key to the file COUNT_FILE before it works. Only `count_again` is idempotent.
 */
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs"
import * as BunRuntime from "@effect/platform-bun/BunRuntime"
import { Duration, Effect, Layer, Option } from "effect"
import { layerWith } from "../../src/app.ts"
import { RealtimeSessions } from "../../src/realtime/session.ts"
import type { RunnableTool } from "../../src/tools/runnable.ts"
import { ServiceTools } from "../../src/tools/service-tools.ts"

const file = openSync(process.env.COUNT_FILE ?? "", "a")
process.on("exit", () => closeSync(file))

const counting = (name: string, isIdempotent: boolean): RunnableTool => ({
  tool: {
    name,
    description: Option.none(),
    parameters: { type: "object", properties: { label: { type: "string" } }, required: ["label"] },
  },
  isIdempotent,
  timeout: Duration.seconds(10),
  run: ({ arguments: { label }, idempotencyKey }) =>
    Effect.suspend(() => {
      writeSync(file, `${name} ${label} ${idempotencyKey}\n`)
      fsyncSync(file)
      const answer = Effect.succeed({ output: `counted ${label}`, isError: false })
      return Effect.delay(answer, Duration.millis(Math.random() * 300))
    }),
})

const serviceTools = ServiceTools.layerOf([counting("count", false), counting("count_again", true)])

BunRuntime.runMain(Layer.launch(layerWith({ realtimeSessions: RealtimeSessions.layer, serviceTools })))
