/** A child process that speaks an engine's protocol, and does what each run tells it to. */
import { makeSend, readFrames } from "../../../../src/providers/offline/engine/frame.ts"

const send = makeSend(Bun.stdout.writer())

const said = {
  environment: () => JSON.stringify({ keys: Object.keys(process.env), folder: process.cwd() }),
  crash: () => {
    console.error("terminate called after throwing an exception")
    process.kill(process.pid, "SIGABRT")
    return ""
  },
  leave: () => process.exit(3),
  spin: () => {
    while (true) Math.random()
  },
}
const isCommand = (text: string): text is keyof typeof said => text in said

for await (const { kind, id, bytes = new Uint8Array() } of readFrames(Bun.stdin.stream())) {
  if (kind === "cancel") continue
  const text = new TextDecoder().decode(bytes.subarray(0, 100))
  const answer = isCommand(text) ? said[text]() : `${bytes.length} bytes`
  send({ kind: "done", id, bytes: new TextEncoder().encode(answer) })
}
process.kill(process.pid, "SIGKILL")
