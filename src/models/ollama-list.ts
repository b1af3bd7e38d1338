import { Data, type Duration, Effect, Option, Schema } from "effect"

/** A model of Ollama's list. Older versions name neither capabilities nor remote hosts. */
const ListedModel = Schema.Struct({
  // In logs, in /ready and on the page. Ollama's own limit is 350 characters for the host and 80 for each other part.
  name: Schema.String.pipe(Schema.pattern(/^[^\p{C}]{1,600}$/u)),
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
const decodeList = Schema.decode(Schema.parseJson(TagList))
const decodeModel = Schema.decodeUnknownOption(ListedModel)

/** Ollama's own cloud lists models too, but it is not this machine. */
const isCloud = (url: string) => /(^|\.)ollama\.com$/.test(new URL(url).hostname)

/** The server is no Ollama of this machine. The reason goes on after its address. */
export class NoOllama extends Data.TaggedError("NoOllama")<{
  readonly reason: string
  /** Whether something else answers there. */
  readonly isOther: boolean
}> {}

const other = (reason: string) => new NoOllama({ reason, isOther: true })
const silent = (reason: string) => new NoOllama({ reason, isOther: false })

/** Bytes of a list. A model takes about 500. */
const maxListBytes = 4 * 1024 ** 2

const readText = async (answer: Response): Promise<string> => {
  const decoder = new TextDecoder()
  let text = ""
  let received = 0
  for await (const chunk of answer.body ?? []) {
    received += chunk.length
    // Leaving the loop ends the connection.
    if (received > maxListBytes) throw other("sends more than a list of models")
    text += decoder.decode(chunk, { stream: true })
  }
  return text
}

const notAList = "answers with something else than a list of models"

/**
 * The models of the Ollama at `url`, which has to answer within `timeout`. Fails with NoOllama, also for a redirect or an
 * error.
 */
export const listOllama = (
  url: string,
  timeout: Duration.DurationInput,
): Effect.Effect<ReadonlyArray<ListedModel>, NoOllama> =>
  Effect.suspend(() => {
    if (isCloud(url)) return other("is Ollama's cloud, and not this machine")
    return Effect.tryPromise({
      try: async (signal) => {
        const answer = await fetch(`${url}/api/tags`, { signal, redirect: "manual" })
        if (answer.ok) return readText(answer)
        await answer.body?.cancel()
        throw other(`answers with status ${answer.status}`)
      },
      catch: (cause) => (cause instanceof NoOllama ? cause : silent("does not answer")),
    }).pipe(
      Effect.flatMap((text) => Effect.mapError(decodeList(text), () => other(notAList))),
      Effect.map(({ models }) => (models ?? []).flatMap((entry) => Option.toArray(decodeModel(entry)))),
      Effect.timeoutFail({ duration: timeout, onTimeout: () => silent("does not answer in time") }),
    )
  })
