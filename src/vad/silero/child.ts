/** The process of Silero. It loads native code, which could take the service down with it. */
import { serveEngine } from "../../providers/offline/engine/serve.ts"
import { decodeBatch, encodeProbabilities } from "./batch.ts"
import { loadSilero } from "./model.ts"

await serveEngine({
  silero: async (file) => {
    const detect = await loadSilero({ model: file("model"), runtime: file("runtime") })
    return (bytes) => encodeProbabilities(detect(decodeBatch(bytes)))
  },
})
