import { afterAll, setDefaultTimeout } from "bun:test"
import { stopServer } from "./database.ts"

// Real databases, processes and ffmpeg on a machine that may be busy: 5 s a test is too little. It holds for what is
// declared after it.
setDefaultTimeout(60_000)

afterAll(stopServer)
