import { expect, test } from "bun:test"
import { makeExamples } from "../../src/http/openapi/failures.ts"
import { toProblem } from "../../src/http/problems.ts"
import { codeOf } from "../../src/turn/errors.ts"

test("codes in events are those of problems", () => {
  const all = makeExamples({
    maxAudioBytes: 1,
    maxAudioSeconds: 1,
    maxRealtimeSessionsPerUser: 1,
    maxTurnsPerUser: 1,
  })
  const errors = [
    ...all.AgentNotFound,
    ...all.AgentDeleted,
    ...all.AgentOutdated,
    ...all.MetadataMissing,
    ...all.NoGreeting,
    ...all.InvalidAudio,
    ...all.AudioTooShort,
    ...all.AudioTooLong,
    ...all.NoSpeechDetected,
    ...all.Overloaded,
    ...all.ProviderRateLimited,
    ...all.ProviderRefusedKey,
    ...all.ProviderRefusedRequest,
    ...all.ProviderUnusable,
    ...all.SessionNotFound,
    ...all.SessionExpired,
    ...all.SessionBusy,
    ...all.IdempotencyKeyReused,
    ...all.TurnCancelled,
    ...all.ToolResultsMismatch,
    ...all.ToolCallAnswered,
    ...all.ToolCallsClosed,
    ...all.QuotaExceeded,
    ...all.DatabaseUnavailable,
    ...all.ConstraintViolated,
  ]
  expect(errors.map(codeOf)).toEqual(errors.map((error) => toProblem(error).code))
})
