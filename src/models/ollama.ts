import { Data, Duration, Effect, Option, Schema } from "effect"
import { defaultOllamaUrl, ollamaAddress } from "../config/checks.ts"
import { SourceRefused, SourceUnreachable } from "./errors.ts"
import type { ChatModel } from "./manifest.ts"
import { listOllama } from "./ollama-list.ts"
import { transfer } from "./transfer.ts"

/** Ollama reports nothing while it hashes a file of gigabytes, on a slow disk for minutes. */
const stallTimeout = Duration.minutes(5)

/**
 * Where Ollama answers, by `OLLAMA_HOST`, which is an address with or without scheme and port, and may be the address
 * that the server listens on.
 */
export const ollamaUrl = (host: string | undefined = process.env.OLLAMA_HOST): string =>
  Option.getOrElse(ollamaAddress.parse(host?.trim() ?? ""), () => defaultOllamaUrl)

/** The names of the models that Ollama has; None if no Ollama answers within 2 s. */
export const ollamaModels = (url: string): Effect.Effect<Option.Option<ReadonlyArray<string>>> =>
  Effect.option(Effect.map(listOllama(url, "2 seconds"), (models) => models.map(({ name }) => name)))

/** How Ollama is installed on this machine: the end of a sentence. */
const installAdvice =
  process.platform === "linux"
    ? "install it with: curl -fsSL https://ollama.com/install.sh | sh"
    : "install it from https://ollama.com/download, and start it"

/** No Ollama answers. */
export const noOllama = (url: string) =>
  new SourceUnreachable({
    message: `Ollama does not answer at ${url}. Start it with ollama serve, set OLLAMA_HOST, or ${installAdvice}`,
  })

/** A line of the answer to /api/pull. Ollama reports errors in lines too, since the status is sent first. */
const Line = Schema.parseJson(
  Schema.Struct({
    status: Schema.optional(Schema.String),
    error: Schema.optional(Schema.String),
    digest: Schema.optional(Schema.String),
    total: Schema.optional(Schema.Number),
    completed: Schema.optional(Schema.Number),
  }),
)
const decodeLine = Schema.decodeOption(Line)

class PullFailed extends Data.TaggedError("PullFailed")<{ readonly reason: string }> {}

/** Reads the lines of an answer until it says success. Rejects with PullFailed. */
const follow = async (
  answer: Response,
  onLine: () => void,
  onProgress: (item: string, received: number, size: number) => void,
): Promise<void> => {
  let rest = ""
  let isDone = false
  const read = (text: string) => {
    const line = decodeLine(text)
    if (Option.isNone(line)) return
    const { status, error, digest, total, completed } = line.value
    if (error !== undefined) throw new PullFailed({ reason: error })
    isDone ||= status === "success"
    if (digest !== undefined && total !== undefined) onProgress(digest.slice(0, 19), completed ?? 0, total)
  }
  const decoder = new TextDecoder()
  for await (const chunk of answer.body ?? []) {
    onLine()
    const lines = `${rest}${decoder.decode(chunk, { stream: true })}`.split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) read(line)
  }
  read(rest)
  if (!answer.ok) throw new PullFailed({ reason: `status ${answer.status}` })
  if (!isDone) throw new PullFailed({ reason: "the answer ended early" })
}

/**
 * Makes Ollama download a chat model; does nothing for one that it has. Ollama keeps what it has of an interrupted
 * download. Fails if Ollama does not answer, or cannot get the model.
 */
export const pullChatModel = (
  url: string,
  { name, ollama }: ChatModel,
  onProgress: (item: string, received: number, size: number) => void,
): Effect.Effect<void, SourceUnreachable | SourceRefused> => {
  const refused = (reason: string) =>
    new SourceRefused({
      message: `Ollama could not get ${ollama} for ${name}: ${reason}. Check its network and its version, and run the command again.`,
    })
  return transfer(
    stallTimeout,
    async (move, signal) => {
      const answer = await fetch(`${url}/api/pull`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: ollama, stream: true }),
        signal,
      }).catch(() => {
        throw noOllama(url)
      })
      await follow(answer, move, onProgress)
    },
    {
      failure: (cause) => {
        if (cause instanceof SourceUnreachable) return cause
        return refused(cause instanceof PullFailed ? cause.reason : "the connection to Ollama broke")
      },
      stall: (seconds) => refused(`Ollama reported nothing for ${seconds} s`),
    },
  )
}
