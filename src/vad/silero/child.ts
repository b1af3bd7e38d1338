/** The process of Silero. It loads native code, which could take the service down with it. */
import { serveEngine } from "../../providers/offline/engine/serve.ts"
import { decodeBatch, encodeProbabilities } from "./batch.ts"
import { loadSilero } from "./model.ts"

await serveEngine({
  silero: async (files) => {
    const detect = await loadSilero({ model: files("model"), runtime: files("runtime") })
    return (bytes) => encodeProbabilities(detect(decodeBatch(bytes)))
  },
})
