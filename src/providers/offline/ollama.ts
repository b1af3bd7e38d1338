import { Data, Duration, Effect, Option } from "effect"
import { listOllama } from "../../models/ollama-list.ts"
import { chooseChatModel, thinksFirst } from "./chat-model.ts"

/** The start of the service waits for it. A running Ollama reads its list from disk in some ms. */
const searchTimeout = Duration.seconds(1)

/** What the search for a local Ollama found. */
export type OllamaSearch = Data.TaggedEnum<{
  Found: { readonly model: string; readonly baseUrl: string; readonly thinks?: true }
  /** It runs, without a model that can chat on this machine. */
  NoModel: Record<never, never>
  Absent: Record<never, never>
}>
export const OllamaSearch = Data.taggedEnum<OllamaSearch>()

/** Looks for Ollama at `url`, for one second at most, and chooses its model for conversation. */
export const findOllama = (url: string, preferredModel: string): Effect.Effect<OllamaSearch> =>
  Effect.map(
    listOllama(url, searchTimeout),
    Option.match({
      onNone: () => OllamaSearch.Absent(),
      onSome: (listed) => {
        const model = chooseChatModel(listed, preferredModel)
        if (model === undefined) return OllamaSearch.NoModel()
        const found = { model, baseUrl: `${url}/v1` }
        return OllamaSearch.Found(thinksFirst(listed, model) ? { ...found, thinks: true } : found)
      },
    }),
  )
