/**
 * Asks an address again and again until it is ended (SIGTERM), and then says in ms how long its answers took. A process
 * of its own: one that makes load would measure its own delays. Usage: bun scripts/bench/probe.ts URL
 */
import { percentile } from "./statistics.ts"

/** Between two questions, in ms. */
const pauseMs = 50

const times: Array<number> = []
let refused = 0
process.once("SIGTERM", () => {
  const [p50, p99, max] = [0.5, 0.99, 1].map((p) => percentile(times, p))
  console.log(JSON.stringify({ asked: times.length, refused, p50, p99, max }))
  process.exit()
})

const [url = ""] = process.argv.slice(2)
console.log("probing")
for (;;) {
  const started = performance.now()
  // As a monitor asks: on a new connection.
  const status = await fetch(url, { headers: { connection: "close" } })
    .then(async (answer) => {
      await answer.bytes()
      return answer.status
    })
    .catch(() => 0)
  times.push(performance.now() - started)
  if (status !== 200) refused += 1
  await Bun.sleep(pauseMs)
}
