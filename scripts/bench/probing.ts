import { Schema } from "effect"
import { startProgram } from "./programs.ts"

/** How long an address took to answer, in ms, and how often it did not answer with 200. */
const Probed = Schema.Struct({
  asked: Schema.Number,
  refused: Schema.Number,
  p50: Schema.Number,
  p99: Schema.Number,
  max: Schema.Number,
})
export type Probed = typeof Probed.Type

const decode = Schema.decodeUnknownSync(Schema.parseJson(Probed))

/** Asks an address, from a process of its own, until it is asked for the times. */
export const startProbe = async (url: string): Promise<() => Promise<Probed>> => {
  const probe = await startProgram(["scripts/bench/probe.ts", url], {}, (line) => line === "probing")
  return async () => {
    const said = probe.says((line) => line.startsWith("{"))
    await probe.stop()
    return decode(await said)
  }
}
