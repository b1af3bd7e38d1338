import { children, start } from "./engines.ts"

const e = await start({ ffmpegPath: "ffmpeg" })
const long = "This is a rather long sentence that takes a while to be spoken by anyone. ".repeat(40)
const rs = []
for (let i = 0; i < 6; i++) {
  const t = performance.now()
  rs.push(
    await e.client.audio.speech.create({ model: "m", voice: "alloy", input: long, response_format: "wav" }),
  )
  console.log(i, (performance.now() - t).toFixed(0))
  await Bun.sleep(1000)
  console.log(children())
}
process.exit()
