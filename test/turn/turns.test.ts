import { afterAll, beforeAll, expect, test } from "bun:test"
import { Chunk, Effect, Exit, Option, Stream } from "effect"
import { newId, TurnId, UserId } from "../../src/schema.ts"
import type { TurnEvent } from "../../src/turn/events.ts"
import { fromText } from "../../src/turn/input.ts"
import { SessionTarget, type TurnRequest, usualTurn } from "../../src/turn/request.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { fail } from "../support/upstream.ts"

let service: TurnService
let userId: UserId
beforeAll(async () => {
  service = await startTurns()
  await service.register()
  userId = UserId.make((await service.database.sql`select id from users`)[0].id)
})
afterAll(() => service.stop())

const sentences = ["One sentence is here.", "Another follows it at once.", "And this is the third of them."]

const request = (): TurnRequest => ({
  turnId: newId(TurnId),
  userId,
  target: SessionTarget.Preferred({ sessionId: Option.none() }),
  idempotencyKey: Option.none(),
  input: fromText("Hello?"),
  uploadMs: 0,
  ...usualTurn,
  output: { format: "pcm", streamsText: false, streaming: true },
})

test("what a slow listener has not got yet when the turn fails is not handed on any more: it is not saved", async () => {
  service.upstream.default("llm", { tokens: sentences.map((sentence) => `${sentence} `) })
  service.upstream.default("tts", (request) =>
    request.input.includes("third") ? fail.badRequest() : { seconds: 0.1 },
  )
  const turn = request()
  const stateOf = async () =>
    (await service.database.sql`select state from turns where id = ${turn.turnId}`)[0]?.state
  const { end, later } = await Effect.runPromise(
    Effect.gen(function* () {
      const pull = yield* Stream.toPull(service.turns.take(turn))
      const first = yield* pull
      expect(Chunk.toReadonlyArray(first).map(({ _tag }) => _tag)).not.toContain("Audio")
      yield* Effect.promise(() => until(async () => (await stateOf()) === "failed", "the turn's failure"))
      const later: Array<TurnEvent> = []
      const end = yield* Effect.exit(
        Effect.forever(Effect.map(pull, (events) => later.push(...Chunk.toReadonlyArray(events)))),
      )
      return { end, later }
    }).pipe(Effect.scoped),
  )
  expect(Exit.isFailure(end)).toBe(true)
  expect(later.filter(({ _tag }) => _tag === "Audio")).toEqual([])
})
