/** The process of an engine. It loads native code that a damaged file aborts, so the service does not. */
import { loadMoonshine } from "./moonshine.ts"
import { serveEngine } from "./serve.ts"

/** A copy, because 16-bit samples start at an even address. */
const samplesOf = (bytes: Uint8Array): Int16Array => new Int16Array(bytes.slice(0, bytes.length & ~1).buffer)

await serveEngine({
  moonshine: async (file) => {
    const transcribe = await loadMoonshine({
      encoder: file("encoder"),
      decoder: file("decoder"),
      tokens: file("tokens"),
      detector: file("detector"),
    })
    return async (bytes, signal, onProgress) =>
      new TextEncoder().encode(await transcribe(samplesOf(bytes), signal, onProgress))
  },
})
