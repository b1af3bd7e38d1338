import { afterAll, setDefaultTimeout } from "bun:test"
import { stopCluster } from "./database.ts"

afterAll(stopCluster)

// Real databases, processes and ffmpeg on a machine that may be busy: 5 s a test is too little.
setDefaultTimeout(30_000)
