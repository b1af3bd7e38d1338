import { afterAll, setDefaultTimeout } from "bun:test"
import { Logger } from "effect"
import { stopServer } from "./database.ts"
import { removeTempFolders } from "./temp-folders.ts"

// Real databases, processes and ffmpeg on a machine that may be busy: 5 s a test is too little. It holds for what is
// declared after it.
setDefaultTimeout(60_000)

// Log lines would hide the failures of a run. A test of the log replaces this logger; a service has its own.
Object.assign(Logger.defaultLogger, { log: () => undefined })

afterAll(stopServer)
afterAll(removeTempFolders)
