import { describe, expect, test } from "bun:test"
import { overLimit } from "../../../src/realtime/connection-limits.ts"
import { clientEventTypes } from "../../../src/realtime/protocol/client-events.ts"
import { causedBy, protocolErrors } from "../../../src/realtime/protocol/errors.ts"
import { serverEvents } from "../../support/realtime-events.ts"

const page = await Bun.file(new URL("../../../docs/reference/realtime.md", import.meta.url)).text()
/** The code spans of a section's tables, in their first column. */
const named = (section: string) => {
  const text = page.split(`\n## ${section}\n`)[1]?.split("\n## ")[0] ?? ""
  return [...text.matchAll(/^\| (`[^|]*) \|/gm)]
    .flatMap(([, cell = ""]) => [...cell.matchAll(/`([^`]+)`/g)])
    .map(([, name = ""]) => name)
    .toSorted()
}

/** Texts and codes that stock clients compare. */
const errors = {
  commitEmpty: protocolErrors.commitEmpty(0),
  activeResponse: protocolErrors.activeResponse("r1"),
  cancelNotActive: protocolErrors.cancelNotActive(),
  tooLong: protocolErrors.tooLong("item", 3, 2),
  tooManyOutOfBand: protocolErrors.tooManyOutOfBand(8),
  truncateUnknownItem: protocolErrors.truncateUnknownItem("x"),
  truncateTooLong: protocolErrors.truncateTooLong(3_700, 3_760),
  truncateNotAudio: protocolErrors.truncateNotAudio(),
  deleteUnknownItem: protocolErrors.deleteUnknownItem("x"),
  retrieveUnknownItem: protocolErrors.retrieveUnknownItem("x"),
  unknownPreviousItem: protocolErrors.unknownPreviousItem("x"),
  duplicateItem: protocolErrors.duplicateItem("x"),
  unknownReference: protocolErrors.unknownReference("x", "response.input[0].id"),
  unknownToolCall: protocolErrors.unknownToolCall("call_1"),
  notInTranscription: protocolErrors.notInTranscription("response.create"),
  messageTooLong: protocolErrors.messageTooLong(100),
} satisfies Record<Exclude<keyof typeof protocolErrors, "server">, unknown>

describe("realtime.md has", () => {
  test("every client event", () => {
    expect(named("Client events")).toEqual([...clientEventTypes].toSorted())
  })

  test("every server event", () => {
    const types = new Set<string>(serverEvents.map(({ type }) => type))
    expect(named("Server events")).toEqual([...types].toSorted())
  })

  test("every code of the conversation's errors", () => {
    const codes = named("Errors")
    for (const { code } of Object.values(errors)) expect(codes).toContain(code ?? "")
  })

  test("the close codes of the connection's limits", () => {
    const limits = { session: 1, idle: 1 }
    const ends = [overLimit(limits, { open: 1, idle: 0 }), overLimit(limits, { open: 0, idle: 1 })]
    expect(ends.map((end) => end?.code)).toEqual(["session_expired", "session_idle"])
    for (const end of ends) expect(page).toContain(`\n| \`${end?.code}\` | ${end?.closeCode} | `)
  })
})

describe("errors have the texts that clients compare", () => {
  const texts = [
    [
      errors.commitEmpty,
      "input_audio_buffer_commit_empty",
      "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but buffer only has 0.00ms of audio.",
    ],
    [
      errors.activeResponse,
      "conversation_already_has_active_response",
      "Conversation already has an active response in progress: r1. Wait until the response is finished before creating a new one.",
    ],
    [errors.cancelNotActive, "response_cancel_not_active", "Cancellation failed: no active response found"],
    [errors.truncateUnknownItem, "item_truncate_invalid_item_id", "Item with item_id not found: x"],
    [errors.truncateTooLong, "invalid_value", "Audio content of 3700ms is already shorter than 3760ms"],
    [
      errors.truncateNotAudio,
      "unsupported_content_type",
      "Only model output audio messages can be truncated",
    ],
    [
      errors.deleteUnknownItem,
      "item_delete_invalid_item_id",
      "Error deleting item: the item with id 'x' does not exist.",
    ],
    [
      errors.retrieveUnknownItem,
      "item_retrieve_invalid_item_id",
      "Error retrieving item: the item with id 'x' does not exist.",
    ],
    [
      errors.unknownPreviousItem,
      "item_create_invalid_previous_item_id",
      "Error adding item: the previous item with id 'x' does not exist.",
    ],
    [errors.unknownToolCall, "invalid_tool_call_id", "Tool call ID 'call_1' not found in conversation."],
  ] as const

  test.each(texts.map(([error, code, message]) => [code, message, error] as const))(
    "%s",
    (code, message, error) => {
      expect(causedBy(error, "e1")).toMatchObject({
        type: "invalid_request_error",
        code,
        message,
        eventId: "e1",
      })
    },
  )

  test("a fault of the service", () => {
    expect(protocolErrors.server("LLM_FAILED", "The language model failed.")).toMatchObject({
      type: "server_error",
      code: "LLM_FAILED",
      param: null,
    })
  })
})
