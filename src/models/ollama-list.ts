import { type Duration, Effect, Option, Schema } from "effect"

/** A model of Ollama's list. Older versions name neither capabilities nor remote hosts. */
const ListedModel = Schema.Struct({
  name: Schema.String,
  /** In bytes. */
  size: Schema.optionalWith(Schema.Number, { default: () => 0 }),
  /** Set for models that run on ollama.com: the conversation would leave this machine. */
  remote_host: Schema.optional(Schema.NullOr(Schema.String)),
  capabilities: Schema.optional(Schema.NullOr(Schema.Array(Schema.String))),
  details: Schema.optional(
    Schema.NullOr(
      Schema.Struct({
        family: Schema.optional(Schema.NullOr(Schema.String)),
      }),
    ),
  ),
})
export type ListedModel = typeof ListedModel.Type

/** Ollama writes null for an empty list. Entries of another shape are left out. */
const TagList = Schema.Struct({ models: Schema.NullOr(Schema.Array(Schema.Unknown)) })
const decodeList = Schema.decodeUnknown(TagList)
const decodeModel = Schema.decodeUnknownOption(ListedModel)

/** Ollama's own cloud lists models too, but it is not this machine. */
const isCloud = (url: string) => /(^|\.)ollama\.com$/.test(new URL(url).hostname)

/**
 * The models of the Ollama at `url`. None if no Ollama answers within `timeout`: an answer that is wrong, a redirect or an
 * error is no Ollama either.
 */
export const listOllama = (
  url: string,
  timeout: Duration.DurationInput,
): Effect.Effect<Option.Option<ReadonlyArray<ListedModel>>> =>
  Effect.suspend(() => {
    if (isCloud(url)) return Effect.succeedNone
    return Effect.tryPromise(async (signal) => {
      const answer = await fetch(`${url}/api/tags`, { signal, redirect: "error" })
      if (!answer.ok) throw new Error(`status ${answer.status}`)
      return answer.json()
    }).pipe(
      Effect.flatMap(decodeList),
      Effect.map(({ models }) => (models ?? []).flatMap((entry) => Option.toArray(decodeModel(entry)))),
      Effect.timeout(timeout),
      Effect.option,
    )
  })
