/**
 * Collects all garbage of the process in which `bun --preload` runs it, on SIGURG, which does nothing otherwise. Then it
 * prints the number of the objects that are left, by type, as a line of JSON.
 */
import { heapStats } from "bun:jsc"

process.on("SIGURG", () => {
  Bun.gc(true)
  console.log(JSON.stringify({ event: "soak.heap", objects: heapStats().objectTypeCounts }))
})
