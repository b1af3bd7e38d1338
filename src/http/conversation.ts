import * as FileSystem from "@effect/platform/FileSystem"
import { Effect, Option, Schema } from "effect"
import { Elysia } from "elysia"
import { Settings } from "../config.ts"
import { ClientCalls } from "../conversation/client-calls.ts"
import { storable } from "../conversation/model.ts"
import { RunningTurns } from "../conversation/running-turns.ts"
import { Admission, type SlotOptions } from "../limits/admission.ts"
import { Uploads } from "../limits/uploads.ts"
import { configuredId, type UserId } from "../schema.ts"
import { fromConversation, fromResults, fromText, makeFromFile } from "../turn/input.ts"
import { SessionTarget } from "../turn/request.ts"
import { signedIn } from "./auth.ts"
import { formOrJsonBody } from "./body.ts"
import { noBody, noContent } from "./no-body.ts"
import * as operations from "./openapi/operations/voice.ts"
import { makeRun } from "./run.ts"
import type { Answers } from "./streaming.ts"
import { strictBody } from "./strict-body.ts"
import { givenResults, ToolResults } from "./tool-results.ts"
import { makeTurnAnswer, type TurnCall } from "./turn-answer.ts"
import { receiveUpload } from "./upload.ts"

/** About as many characters as five minutes of speech have, the default limit of a recording. */
const longestText = 4096

const Said = Schema.Struct({
  text: Schema.Trim.annotations({ message: () => "must be a string" }).pipe(
    Schema.filter(
      (text) =>
        (text !== "" && [...text].length <= longestText) || `must have 1 to ${longestText} characters`,
      { jsonSchema: { type: "string", minLength: 1, maxLength: longestText } },
    ),
    Schema.filter(storable),
  ),
  agentId: Schema.optionalWith(
    Schema.String.annotations({
      message: () => "must be the id of an agent, or default",
      description:
        "The agent that answers this turn: one of yours, or `default`. That of the session by default.",
    }),
    { as: "Option" },
  ),
}).annotations({ message: () => ({ message: "must be an object", override: false }) })

const SaidText = Schema.standardSchemaV1(Said)

const ToolResultsBody = strictBody(ToolResults)

const Spoken = Schema.standardSchemaV1(
  Schema.Struct({
    audio: Schema.optionalWith(
      Schema.Literal("true", "false").annotations({
        message: () => ({ message: "must be true or false", override: true }),
        jsonSchema: {
          type: "string",
          enum: ["true", "false"],
          default: "true",
          description:
            "Whether the reply is spoken. `false` with application/json and text/event-stream only.",
        },
      }),
      { default: () => "true" as const },
    ),
  }),
)

/** The routes that begin a turn, from a recording or a text, and the one that cancels it. */
export const conversationRoutes = Effect.fnUntraced(function* (answers: Answers) {
  const run = yield* makeRun
  const answerTurn = yield* makeTurnAnswer(answers)
  const running = yield* RunningTurns
  const clientCalls = yield* ClientCalls
  const admission = yield* Admission
  const uploads = yield* Uploads
  const fromFile = yield* makeFromFile
  const fs = yield* FileSystem.FileSystem
  const settings = yield* Settings

  /** Reads an upload. It holds no slot while it arrives, which may be slow. */
  const readRecording = (request: Request, userId: UserId) => (slot: SlotOptions) =>
    admission.admit(userId, receiveUpload({ request, userId }, uploads, settings), slot).pipe(
      Effect.map(({ upload, sessionId, agentId }) => ({
        input: fromFile(upload),
        agentId,
        reply: "model" as const,
        target: SessionTarget.Preferred({ sessionId }),
      })),
      Effect.provideService(FileSystem.FileSystem, fs),
    )

  const readText =
    ({ text, agentId }: typeof Said.Type, sessionId: string, userId: UserId) =>
    (slot: SlotOptions) =>
      Effect.as(admission.acquire(userId, slot), {
        input: fromText(text),
        agentId,
        reply: "model" as const,
        target: SessionTarget.Required({ sessionId }),
      })

  const greet = (sessionId: string, userId: UserId) => (slot: SlotOptions) =>
    Effect.as(admission.acquire(userId, slot), {
      input: fromConversation,
      agentId: Option.none(),
      reply: "greeting" as const,
      target: SessionTarget.Required({ sessionId }),
    })

  /** The results of a turn's calls begin the next turn of its session, by the same agent. */
  const readResults =
    (body: typeof ToolResults.Type, turnId: string, userId: UserId) => (slot: SlotOptions) =>
      Effect.gen(function* () {
        yield* admission.acquire(userId, slot)
        const { id, sessionId, agent } = yield* clientCalls.turn(userId, turnId)
        return {
          input: fromResults(id, givenResults(body)),
          agentId: Option.some(Option.match(agent, { onNone: () => configuredId, onSome: ({ id }) => id })),
          agentVersion: Option.map(agent, ({ version }) =>
            Option.getOrElse(version, () => "latest" as const),
          ),
          reply: "model" as const,
          target: SessionTarget.Required({ sessionId }),
        }
      })

  const answer = (
    { request, server, user }: Pick<TurnCall, "request" | "server" | "user">,
    isSpoken: boolean,
    read: TurnCall["read"],
  ) => run(request, answerTurn({ request, server, user, isSpoken, read }))

  const cancelling = new Elysia()
    .use(yield* signedIn("requests"))
    .delete(
      "/voice/turns/:turnId",
      ({ request, user, params }) =>
        run(request, Effect.map(running.cancel(user.id, params.turnId), noContent)),
      { ...noBody, detail: operations.cancel },
    )

  return new Elysia()
    .use(cancelling)
    .use(yield* signedIn("turns"))
    .post(
      "/voice/conversation",
      ({ request, user, server }) => answer({ request, user, server }, true, readRecording(request, user.id)),
      // The handler reads the body itself, as it arrives.
      { parse: () => null, detail: operations.converse },
    )
    .post(
      "/sessions/:id/greeting",
      ({ request, user, server, params, query }) =>
        answer({ request, user, server }, query.audio === "true", greet(params.id, user.id)),
      { ...noBody, query: Spoken, detail: operations.greet },
    )
    .use(yield* formOrJsonBody())
    .post(
      "/sessions/:id/messages",
      ({ request, user, server, params, query, body }) =>
        answer({ request, user, server }, query.audio === "true", readText(body, params.id, user.id)),
      { body: SaidText, query: Spoken, detail: operations.say },
    )
    .post(
      "/voice/turns/:turnId/tool-results",
      ({ request, user, server, params, query, body }) =>
        answer({ request, user, server }, query.audio === "true", readResults(body, params.turnId, user.id)),
      { body: ToolResultsBody, query: Spoken, detail: operations.submitResults },
    )
})
