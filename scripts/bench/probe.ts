/**
 * Requests a URL until SIGTERM, then prints the response times in ms. A separate process, because a process that makes
 * load would measure its own delays. Usage: bun scripts/bench/probe.ts URL
 */
import { percentile } from "./statistics.ts"

/** Between two requests, in ms. */
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
  // On a new connection, as a monitor does.
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
