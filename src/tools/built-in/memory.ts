import { Duration, Effect, Option } from "effect"
import { Memories, type Memory, maxMemories, maxMemoryLength } from "../../accounts/memories.ts"
import type { DatabaseError } from "../../db/errors.ts"
import { MemoryId } from "../../schema.ts"
import { toStorable } from "../../text/well-formed.ts"
import type { RunnableTool, ToolAnswer } from "../runnable.ts"

const done = (output: string): ToolAnswer => ({ output, isError: false })
const failed = (output: string): ToolAnswer => ({ output, isError: true })

/** The start of an id, by which the model names a memory: 2^32 of them, for at most 200. */
const shortId = ({ id }: Memory) => id.slice(0, 8)

const shown = (memories: ReadonlyArray<Memory>) =>
  memories
    .map((memory) => `[${shortId(memory)}] ${memory.text} (${memory.createdAt.toISOString().slice(0, 10)})`)
    .join("\n")

const wordsOf = (text: string) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []

const textOf = (value: unknown) => (typeof value === "string" ? value.trim() : "")

const orFailed = (effect: Effect.Effect<ToolAnswer, DatabaseError>) =>
  Effect.orElseSucceed(effect, () => failed("The memory is not available at the moment."))

const common = { isIdempotent: true, timeout: Duration.seconds(10) }

/** The memory of a user: it lasts beyond the session, and the user can list and delete it. */
export const makeMemoryTools = Effect.map(Memories, (memories): ReadonlyArray<RunnableTool> => {
  const remember: RunnableTool = {
    ...common,
    tool: {
      name: "remember",
      description: Option.some(
        "Remembers one fact about the user for later conversations. Use it if the user asks for it, or tells something that will matter later. Not for secrets such as passwords.",
      ),
      parameters: {
        type: "object",
        properties: {
          text: {
            type: "string",
            minLength: 1,
            maxLength: maxMemoryLength,
            description: "The fact, in one sentence.",
          },
        },
        required: ["text"],
      },
    },
    run: ({ userId, idempotencyKey, arguments: given }) => {
      const text = toStorable(textOf(given.text))
      if (text === "") return Effect.succeed(failed("The text is empty. Nothing was remembered."))
      return orFailed(
        Effect.map(memories.add(userId, MemoryId.make(idempotencyKey), text), (result) =>
          result === "kept"
            ? done("Remembered.")
            : failed(
                `Nothing was remembered: there are ${maxMemories} memories already. Ask the user which to forget.`,
              ),
        ),
      )
    },
  }

  const recall: RunnableTool = {
    ...common,
    tool: {
      name: "recall",
      description: Option.some(
        "What was remembered about the user in earlier conversations, with the id of each memory.",
      ),
      parameters: {
        type: "object",
        properties: {
          query: { type: "string", description: "Words of the memory. All memories if it is left out." },
        },
      },
    },
    run: ({ userId, arguments: { query } }) =>
      orFailed(
        Effect.map(memories.list(userId), (all) => {
          const words = wordsOf(textOf(query))
          const found = all.filter(({ text }) => words.some((word) => text.toLowerCase().includes(word)))
          if (all.length === 0) return done("Nothing is remembered about this user.")
          if (words.length === 0) return done(shown(all))
          return found.length > 0
            ? done(shown(found))
            : done(`No memory has these words. All memories:\n${shown(all)}`)
        }),
      ),
  }

  const forget: RunnableTool = {
    ...common,
    tool: {
      name: "forget",
      description: Option.some("Deletes one memory about the user."),
      parameters: {
        type: "object",
        properties: { id: { type: "string", description: "The id of the memory, as recall gives it." } },
        required: ["id"],
      },
    },
    run: ({ userId, arguments: { id } }) =>
      orFailed(
        Effect.gen(function* () {
          const wanted = textOf(id).replaceAll(/[[\]]/g, "").toLowerCase()
          const found = (yield* memories.list(userId)).find(
            (memory) => wanted !== "" && (memory.id === wanted || shortId(memory) === wanted),
          )
          if (found === undefined)
            return failed("There is no memory with this id. Use recall to see the ids.")
          yield* Effect.catchTag(memories.remove(userId, found.id), "MemoryNotFound", () => Effect.void)
          return done("Forgotten.")
        }),
      ),
  }

  return [remember, recall, forget]
})
