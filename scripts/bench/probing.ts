import { Schema } from "effect"
import { startProgram } from "./programs.ts"

/** Response times of a URL in ms, and the number of responses other than 200. */
const Probed = Schema.Struct({
  asked: Schema.Number,
  refused: Schema.Number,
  p50: Schema.Number,
  p99: Schema.Number,
  max: Schema.Number,
})
export type Probed = typeof Probed.Type

const decode = Schema.decodeUnknownSync(Schema.parseJson(Probed))

/** Requests a URL from a separate process until the times are read. */
export const startProbe = async (url: string): Promise<() => Promise<Probed>> => {
  const probe = await startProgram(["scripts/bench/probe.ts", url], {}, (line) => line === "probing")
  return async () => {
    const said = probe.says((line) => line.startsWith("{"))
    await probe.stop()
    return decode(await said)
  }
}
