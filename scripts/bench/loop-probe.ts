/**
 * Measures how long the event loop of the process is blocked, in which `bun --preload` runs it. SIGURG, which does nothing
 * otherwise, makes it print the figures since the last one as a line of JSON.
 */

/** In ms: a shorter one costs more than it tells. */
const tick = 2

let last = performance.now()
let lastCpu = process.threadCpuUsage()
let [late, busy] = [0, 0]

setInterval(() => {
  const [now, cpu] = [performance.now(), process.threadCpuUsage()]
  late = Math.max(late, now - last - tick)
  busy = Math.max(busy, (cpu.user + cpu.system - lastCpu.user - lastCpu.system) / 1000)
  last = now
  lastCpu = cpu
}, tick).unref()

process.on("SIGURG", () => {
  console.log(JSON.stringify({ event: "bench.loop", lateMs: late, busyMs: busy }))
  late = 0
  busy = 0
})
