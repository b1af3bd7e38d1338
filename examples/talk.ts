/**
 * One turn with the client: prints the transcript and the reply as it arrives, and saves the speech in reply.mp3.
 *
 *     bun examples/talk.ts examples/question.wav
 *
 * VOICE_AGENT_URL is the service's address (default: http://localhost:3000). VOICE_AGENT_KEY is an API key; without one
 * the example registers a new user.
 */
import { makeClient, VoiceAgentError } from "../src/client/client.ts"

const [recording = "examples/question.wav", answer = "reply.mp3"] = process.argv.slice(2)
const baseUrl = process.env.VOICE_AGENT_URL ?? "http://localhost:3000"

if (!(await Bun.file(recording).exists())) {
  console.error(`There is no file ${recording}.`)
  process.exit(1)
}

try {
  const apiKey =
    process.env.VOICE_AGENT_KEY ??
    (await makeClient({ baseUrl }).register(`${Date.now()}@example.com`)).apiKey
  const client = makeClient({ baseUrl, apiKey })
  const speech = Bun.file(answer).writer()
  const { sessionId, timings } = await client.converse(Bun.file(recording), {
    onTranscript: (text) => process.stdout.write(`You:   ${text}\nReply: `),
    onText: (text) => process.stdout.write(text),
    onAudio: (bytes) => speech.write(bytes),
  })
  await speech.end()
  console.log(`\n${answer}: first audio after ${timings.firstAudio} ms; session ${sessionId}`)
} catch (error) {
  if (!(error instanceof VoiceAgentError)) throw error
  console.error(`${error.code}: ${error.message}`)
  process.exit(1)
}
