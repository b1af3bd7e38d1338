import { connectRealtime } from "../support/realtime-client.ts"
import { startService } from "../support/service.ts"

const service = await startService({ env: { LOG_LEVEL: process.env.LL ?? "none" } })
const key = await service.register()
const client = await connectRealtime(service.url, key)
const t0 = performance.now()
let shown = 0
const show = () => {
  for (; shown < client.events.length; shown++) {
    const e: any = client.events[shown]
    const { event_id: _, ...rest } = e
    let s = JSON.stringify(rest)
    if (e.type === "session.created" || e.type === "session.updated") s = e.type
    console.log(Math.round(performance.now() - t0), s.slice(0, 260))
  }
}
const timer = setInterval(show, 20)
client.send({ type: "session.update", session: { type: "realtime", audio: { input: { transcription: { model: "whisper-1" } } } } })
const speech = Bun.spawnSync(["sh", "-c", "espeak-ng --stdout 'Hello there, what is the weather like today in Paris?' | ffmpeg -loglevel error -i - -ar 24000 -ac 1 -f s16le -"]).stdout
const pcm = Buffer.concat([Buffer.alloc(48 * 300), speech, Buffer.alloc(48 * 900)])
console.log("speech ms", speech.length / 48)
for (let at = 0; at < pcm.length; at += 4800) {
  client.send({ type: "input_audio_buffer.append", audio: pcm.subarray(at, at + 4800).toString("base64") })
  await Bun.sleep(100)
}
await Bun.sleep(1500)
show()
clearInterval(timer)
client.socket.close()
await service.stop()
process.exit(0)
