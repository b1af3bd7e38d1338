/** A service with an engine: prints the pid of the engine's process, and goes on for ever. */
import { startEngineProcess } from "../../../../src/providers/offline/engine/process.ts"

const engine = startEngineProcess(process.argv[2])
console.log(engine.pid)
setInterval(() => undefined, 1000)
