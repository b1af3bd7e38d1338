/**
 * The scripted upstream of the soak, as a separate process. The mark of a turn decides how its requests end.
 * Usage: bun scripts/bench/soak/upstream.ts SEED PORT
 */
import { PCGRandom } from "effect/Utils"
import { startUpstream } from "../../../test/support/upstream.ts"
import { prepareSpeech } from "../../../test/support/upstream-audio.ts"
import { markOfText, markOfWav, stepOf } from "./faults.ts"

/** Fast enough for many turns a minute, and slow enough that several run at the same time. */
const pace = {
  sttMs: 150,
  llmFirstTokenMs: 100,
  llmTokensPerSecond: 100,
  ttsFirstByteMs: 120,
  ttsRealTimeFactor: 30,
}

const [seed, port] = process.argv.slice(2).map(Number)
const random = new PCGRandom(seed)
const upstream = await startUpstream({ keepLog: false, port: port ?? 0 })
upstream.latency(pace)
upstream.default("stt", ({ file }) => stepOf("stt", markOfWav(file.bytes.length), random))
upstream.default("llm", ({ messages }) => stepOf("llm", markOfText(messages.at(-1)?.content ?? ""), random))
upstream.default("tts", ({ input }) => stepOf("tts", markOfText(input), random))
await prepareSpeech()
console.log(upstream.baseUrl)
