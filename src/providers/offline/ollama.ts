import { Data, type Duration, Effect } from "effect"
import { listOllama } from "../../models/ollama-list.ts"
import { chooseChatModel, thinksFirst } from "./chat-model.ts"

/** What the search for a local Ollama found. */
export type OllamaSearch = Data.TaggedEnum<{
  Found: { readonly model: string; readonly baseUrl: string; readonly thinks?: true }
  /** It runs, without a model that can chat on this machine. */
  NoModel: Record<never, never>
  /** Nothing answers, or something else. The reason goes on after the address. */
  Absent: { readonly reason: string; readonly isOther: boolean }
}>
export const OllamaSearch = Data.taggedEnum<OllamaSearch>()

/** Looks for Ollama at `url`, for `timeout` at most, and chooses its model for conversation. */
export const findOllama = (
  url: string,
  preferredModel: string,
  timeout: Duration.DurationInput,
): Effect.Effect<OllamaSearch> =>
  Effect.match(listOllama(url, timeout), {
    onFailure: ({ reason, isOther }) => OllamaSearch.Absent({ reason, isOther }),
    onSuccess: (listed) => {
      const model = chooseChatModel(listed, preferredModel)
      if (model === undefined) return OllamaSearch.NoModel()
      const found = { model, baseUrl: `${url}/v1` }
      return OllamaSearch.Found(thinksFirst(listed, model) ? { ...found, thinks: true } : found)
    },
  })
