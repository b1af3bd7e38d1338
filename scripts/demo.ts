/** `bun run demo`: sets up, starts the service, and prints how to talk to it. */
import { join } from "node:path"
import { bun, setUp } from "./setup.ts"

await setUp()

const port = process.env.PORT ?? "3000"
const api = `http://localhost:${port}/api/v1`
const guide = `
Open http://localhost:${port} in a browser to talk (Ctrl-C here stops the service). Or in another terminal, in this folder:

  # 1. Register, and keep the key that it shows.
  export KEY=$(curl -s ${api}/users/register -d email=$(date +%s)@example.com | sed 's/.*"apiKey":"\\([^"]*\\)".*/\\1/')

  # 2. Send a recording of any common format; the response is the spoken reply as an MP3.
  curl -s -D - -o reply.mp3 ${api}/voice/conversation -H "Authorization: Bearer $KEY" -F audio=@examples/question.wav

  # 3. Listen.
  ffplay -autoexit -nodisp reply.mp3

  # Or hold a hands-free conversation over a WebSocket.
  VOICE_AGENT_URL=http://localhost:${port} node examples/realtime.mjs examples/question.wav reply.wav
`

const service = Bun.spawn([bun, "src/main.ts"], {
  cwd: join(import.meta.dir, ".."),
  env: { ...process.env, PORT: port },
  stdio: ["inherit", "pipe", "inherit"],
})
// From a terminal the service has already received the signal, and ignores the second one.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => service.kill(signal))

let isListening = false
for await (const text of service.stdout.pipeThrough(new TextDecoderStream())) {
  process.stdout.write(text)
  if (isListening || !/\bserver\.listening\b/.test(text)) continue
  isListening = true
  console.log(guide)
}
process.exit(await service.exited)
