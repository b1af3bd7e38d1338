import * as FileSystem from "@effect/platform/FileSystem"
import { Effect, Schema, type Scope } from "effect"
import { Elysia } from "elysia"
import { Settings } from "../config.ts"
import { storable } from "../conversation/model.ts"
import { RunningTurns } from "../conversation/running-turns.ts"
import { Admission } from "../limits/admission.ts"
import { Uploads } from "../limits/uploads.ts"
import { Saying, Whereto } from "../turn/model.ts"
import { signedIn } from "./auth.ts"
import { formOrJsonBody } from "./body.ts"
import * as operations from "./openapi/operations/voice.ts"
import { makeRun } from "./run.ts"
import type { Answers } from "./streaming.ts"
import { makeTurnAnswer } from "./turn-answer.ts"
import { receiveUpload } from "./upload.ts"

/** Five minutes of speech, which is what a recording may have, are about as many characters. */
const longestText = 4096

const SaidText = Schema.standardSchemaV1(
  Schema.Struct({
    text: Schema.Trim.annotations({ message: () => "must be a text" }).pipe(
      Schema.filter(
        (text) =>
          (text.length > 0 && text.length <= longestText) || `must have 1 to ${longestText} characters`,
        { jsonSchema: { type: "string", minLength: 1, maxLength: longestText } },
      ),
      Schema.filter(storable),
    ),
  }).annotations({ message: () => ({ message: "must be an object", override: false }) }),
)

const Spoken = Schema.standardSchemaV1(
  Schema.Struct({
    audio: Schema.optionalWith(
      Schema.Literal("true", "false").annotations({
        message: () => "must be true or false",
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

/** Turns, from a recording or from a text: what was said comes in, and the reply goes out as the client asked for it. */
export const conversationRoutes = Effect.fnUntraced(function* (answers: Answers) {
  const run = yield* makeRun
  const answer = yield* makeTurnAnswer(answers)
  const running = yield* RunningTurns
  const admission = yield* Admission
  const uploads = yield* Uploads
  const fs = yield* FileSystem.FileSystem
  const settings = yield* Settings

  const cancelling = new Elysia()
    .use(yield* signedIn("requests"))
    .delete(
      "/voice/turns/:turnId",
      ({ request, user, params }) =>
        run(request, Effect.as(running.cancel(user.id, params.turnId), new Response(null, { status: 204 }))),
      { parse: () => null, detail: operations.cancel },
    )

  return new Elysia()
    .use(cancelling)
    .use(yield* signedIn("turns"))
    .post(
      "/voice/conversation",
      ({ request, user, server }) => {
        const asked = { request, server, userId: user.id }
        const said = (answer: Scope.Scope) =>
          admission.admit(user.id, receiveUpload(asked, uploads, settings), { alsoHeldBy: answer }).pipe(
            Effect.map(({ upload, sessionId }) => ({
              saying: Saying.Recording({ upload }),
              whereto: Whereto.Asked({ sessionId }),
            })),
            Effect.provideService(FileSystem.FileSystem, fs),
          )
        return run(request, answer({ ...asked, isSpoken: true, said }))
      },
      // The body is read by the turn itself, as it comes.
      { parse: () => null, detail: operations.converse },
    )
    .use(yield* formOrJsonBody())
    .post(
      "/sessions/:id/messages",
      ({ request, user, params, query, body, server }) => {
        const said = (answer: Scope.Scope) =>
          Effect.as(admission.acquire(user.id, { alsoHeldBy: answer }), {
            saying: Saying.Text(body),
            whereto: Whereto.Given({ sessionId: params.id }),
          })
        return run(
          request,
          answer({ request, server, userId: user.id, isSpoken: query.audio === "true", said }),
        )
      },
      { body: SaidText, query: Spoken, detail: operations.say },
    )
})
