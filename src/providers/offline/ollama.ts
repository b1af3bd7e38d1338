import { Data, Duration, Effect, Option, Schema } from "effect"
import { providerFetch } from "../openai/fetch.ts"
import { chooseChatModel, ListedModel } from "./chat-model.ts"

/** The start of the service waits for it. A running Ollama reads its list from disk in some ms. */
const searchTimeout = Duration.seconds(1)

/** What the search for a local Ollama found. */
export type OllamaSearch = Data.TaggedEnum<{
  Found: { readonly model: string; readonly baseUrl: string }
  /** It runs, without a model that can chat on this machine. */
  NoModel: Record<never, never>
  Absent: Record<never, never>
}>
export const OllamaSearch = Data.taggedEnum<OllamaSearch>()

const TagList = Schema.Struct({ models: Schema.NullOr(Schema.Array(Schema.Unknown)) })
const decodeList = Schema.decodeUnknown(TagList)
const decodeModel = Schema.decodeUnknownOption(ListedModel)

/** Ollama's own cloud lists models too, but it is not this machine. */
const isCloud = (url: string) => /(^|\.)ollama\.com$/.test(new URL(url).hostname)

/**
 * Looks for Ollama at `url`, for one second at most, and chooses its model for conversation. An answer that is slow,
 * wrong or no answer at all counts as no Ollama.
 */
export const findOllama = (url: string, preferredModel: string): Effect.Effect<OllamaSearch> =>
  Effect.tryPromise(async (signal) => {
    const answer = await providerFetch(`${url}/api/tags`, { signal, redirect: "error" })
    if (!answer.ok) throw new Error(`status ${answer.status}`)
    return answer.json()
  }).pipe(
    Effect.flatMap(decodeList),
    Effect.timeout(searchTimeout),
    Effect.map(({ models }) => {
      const listed = (models ?? []).flatMap((entry) => Option.toArray(decodeModel(entry)))
      const model = chooseChatModel(listed, preferredModel)
      return model === undefined
        ? OllamaSearch.NoModel()
        : OllamaSearch.Found({ model, baseUrl: `${url}/v1` })
    }),
    Effect.orElseSucceed(() => OllamaSearch.Absent()),
    (search) => (isCloud(url) ? Effect.succeed(OllamaSearch.Absent()) : search),
  )
