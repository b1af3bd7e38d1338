/**
 * The scripted upstream of the soak, as a separate process, and the server of its agents' HTTP tool. The mark of a turn
 * decides how its requests end. It prints its base URL and the tool's URL.
 * Usage: bun scripts/bench/soak/upstream.ts SEED PORT TOOL_PORT [at-once]
 */
import { PCGRandom } from "effect/Utils"
import { startUpstream } from "../../../test/support/upstream.ts"
import { prepareSpeech } from "../../../test/support/upstream-audio.ts"
import { markOfSpeech, markOfText, stepOf, toolOfText } from "./faults.ts"
import { argumentsOf } from "./tools.ts"

/** Fast enough for many turns a minute, and slow enough that several run at the same time. */
const paced = {
  sttMs: 150,
  llmFirstTokenMs: 100,
  llmTokensPerSecond: 100,
  ttsFirstByteMs: 120,
  ttsRealTimeFactor: 30,
}

const [seed = "1", port = "0", toolPort = "0", pace] = process.argv.slice(2)
const random = new PCGRandom(Number(seed))
const isAtOnce = pace === "at-once"
const upstream = await startUpstream({ keepLog: false, port: Number(port) })
if (!isAtOnce) upstream.latency(paced)
upstream.default("stt", ({ file, language }) =>
  stepOf("stt", markOfSpeech(language, file.bytes.length), random),
)
let calls = 0
upstream.default("llm", ({ messages }) => {
  const last = messages.at(-1)
  const text = last?.content ?? ""
  const tool = last?.role === "user" ? toolOfText(text) : undefined
  if (tool === undefined) return stepOf("llm", markOfText(text), random)
  calls += 1
  return {
    text: "One moment.",
    toolCalls: [{ id: `call_${calls}`, name: tool, arguments: argumentsOf(tool) }],
  }
})
upstream.default("tts", ({ input }) => stepOf("tts", markOfText(input), random))
await prepareSpeech()
const tool = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(toolPort),
  fetch: () => Response.json({ sky: "clear" }),
})
console.log(`${upstream.baseUrl} ${tool.url.href}`)
