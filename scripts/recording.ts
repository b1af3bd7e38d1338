/**
 * Makes docs/recording.mp3, and its transcript in the README: a conversation with the service's offline engines. flite's
 * man asks, and the service hears, answers and speaks as it does without a key.
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Schema } from "effect"
import { register } from "./bench/programs.ts"
import { docs, writeSection } from "./bench/section.ts"
import { ask, questions, run, startOffline } from "./offline-conversation.ts"

const Turn = Schema.Struct({
  sessionId: Schema.String,
  transcript: Schema.String,
  response: Schema.String,
  audio: Schema.Struct({ base64: Schema.String }),
})

const folder = await mkdtemp(join(tmpdir(), "voice-agent-recording-"))

const service = await startOffline()
const key = await register(service.api)

/** One turn of the conversation. Returns the files of the question and of the reply too. */
const takeTurn = async (question: string, sessionId: string | undefined) => {
  const asked = join(folder, `${crypto.randomUUID()}.wav`)
  await ask(question, asked)
  const form = new FormData()
  form.set("audio", Bun.file(asked))
  if (sessionId !== undefined) form.set("sessionId", sessionId)
  const answer = await fetch(`${service.api}/voice/conversation`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, accept: "application/json" },
    body: form,
  })
  if (!answer.ok) throw new Error(await answer.text())
  const turn = Schema.decodeUnknownSync(Turn)(await answer.json())
  const reply = join(folder, `${crypto.randomUUID()}.mp3`)
  await Bun.write(reply, Buffer.from(turn.audio.base64, "base64"))
  return { ...turn, files: [asked, reply] }
}

const turns: Array<Awaited<ReturnType<typeof takeTurn>>> = []
for (const question of questions) turns.push(await takeTurn(question, turns[0]?.sessionId))
await service.stop()

/**
 * Half a second follows each file. The questions' voice is softer than that of the replies: see src/providers/offline/flite.ts.
 */
const files = turns.flatMap((turn) => turn.files)
const prepared = files.map(
  (_, index) =>
    `[${index}:a]aresample=24000,volume=${index % 2 === 0 ? 1.5 : 0}dB,apad=pad_dur=0.5[part${index}]`,
)
const joined = `${files.map((_, index) => `[part${index}]`).join("")}concat=n=${files.length}:v=0:a=1`
await run(
  "ffmpeg",
  ...["-nostdin", "-v", "error", "-y", ...files.flatMap((file) => ["-i", file])],
  ...["-filter_complex", [...prepared, joined].join(";"), "-ac", "1", "-b:a", "48k"],
  ...["-map_metadata", "-1", join(docs, "recording.mp3")],
)
await rm(folder, { recursive: true })

const lines = turns.flatMap(({ transcript, response }, at) => [
  ...(at === 0 ? [] : [">"]),
  `> **You:** ${transcript}`,
  ">",
  `> **Voice Agent:** ${response}`,
])
await writeSection("recording", lines.join("\n"), "../README.md")
console.log(lines.join("\n"))
