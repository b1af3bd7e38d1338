/** What must hold for the events of any Realtime session, as a client sees them. */
import { expect } from "bun:test"
import type { ServerEvent } from "../../src/realtime/protocol/server-events.ts"
import type { Item, ServedCall } from "../../src/realtime/protocol/server-items.ts"

/** One terminal event a response, nothing of it after that, and nothing before its beginning. */
export const checkResponses = (events: ReadonlyArray<ServerEvent>): void => {
  const open = new Map<string, Set<string>>()
  const ended = new Set<string>()
  for (const each of events) {
    if (each.type === "response.created") {
      expect(open.has(each.response.id) || ended.has(each.response.id)).toBe(false)
      open.set(each.response.id, new Set())
    } else if (each.type === "response.done") {
      // Everything that was opened is closed.
      expect([...(open.get(each.response.id) ?? ["not created"])]).toEqual([])
      open.delete(each.response.id)
      ended.add(each.response.id)
      expect(
        each.response.output.every((item) =>
          "status" in item ? item.status !== "in_progress" : (item.output === null) !== (item.error === null),
        ),
      ).toBe(true)
    } else if ("response_id" in each) {
      const parts = open.get(each.response_id)
      expect(parts).toBeDefined()
      if (each.type === "response.output_item.added") parts?.add(each.item.id)
      else if (each.type === "response.output_item.done") expect(parts?.delete(each.item.id)).toBe(true)
      else if ("item_id" in each) expect(parts?.has(each.item_id)).toBe(true)
    }
  }
  expect([...open.keys()]).toEqual([])
}

/** The pieces of each transcript make the whole that follows them, and nothing comes after it. */
const checkWords = (events: ReadonlyArray<ServerEvent>): void => {
  const words = new Map<string, string>()
  const ended = new Set<string>()
  for (const each of events) {
    if (each.type === "conversation.item.input_audio_transcription.delta") {
      expect(ended.has(each.item_id)).toBe(false)
      words.set(each.item_id, `${words.get(each.item_id) ?? ""}${each.delta}`)
    }
    if (each.type === "conversation.item.input_audio_transcription.completed") {
      expect(words.get(each.item_id) ?? "").toBe(each.transcript)
      ended.add(each.item_id)
    }
  }
}

/** Every commit ends in one transcript or failure, unless its item was deleted. */
export const checkTranscripts = (events: ReadonlyArray<ServerEvent>): void => {
  checkWords(events)
  const deleted = new Set(
    events.flatMap((each) => (each.type === "conversation.item.deleted" ? [each.item_id] : [])),
  )
  const timedOut = new Set(
    events.flatMap((each) => (each.type === "input_audio_buffer.timeout_triggered" ? [each.item_id] : [])),
  )
  const committed = events.flatMap((each) =>
    each.type === "input_audio_buffer.committed" ? [each.item_id] : [],
  )
  const ends = events.flatMap((each) =>
    each.type === "conversation.item.input_audio_transcription.completed" ||
    each.type === "conversation.item.input_audio_transcription.failed"
      ? [each.item_id]
      : [],
  )
  expect(new Set(ends).size).toBe(ends.length)
  for (const id of committed) {
    if (!deleted.has(id) && !timedOut.has(id)) expect(ends).toContain(id)
  }
}

/** The list that a client keeps by the events. */
export const checkOrder = (events: ReadonlyArray<ServerEvent>): void => {
  const list: Array<string> = []
  for (const each of events) {
    if (each.type === "conversation.item.added") {
      expect(list).not.toContain(each.item.id)
      const before = each.previous_item_id === null ? -1 : list.indexOf(each.previous_item_id)
      expect(each.previous_item_id === null || before >= 0).toBe(true)
      list.splice(before + 1, 0, each.item.id)
    }
    if (each.type === "conversation.item.deleted") list.splice(list.indexOf(each.item_id), 1)
  }
}

/** What a client wrote down of one part of an item: the pieces, and the whole as each later event has it. */
interface Written {
  pieces: string
  readonly wholes: Array<string | undefined>
}

/** The texts of an item's parts, or its arguments. */
const textsOf = (item: Item | ServedCall): ReadonlyArray<string | undefined> => {
  if (item.type === "function_call") return [item.arguments]
  if (item.type !== "message") return []
  return item.content.map((part) => ("text" in part ? part.text : (part.transcript ?? undefined)))
}

/** The pieces of every part make the whole that each later event has, and nothing follows it. */
export const checkDeltas = (events: ReadonlyArray<ServerEvent>): void => {
  const parts = new Map<string, Written>()
  const part = (id: string, index = 0): Written => {
    const key = `${id} ${index}`
    const found = parts.get(key) ?? { pieces: "", wholes: [] }
    parts.set(key, found)
    return found
  }
  for (const each of events) {
    switch (each.type) {
      case "response.output_text.delta":
      case "response.output_audio_transcript.delta":
      case "response.function_call_arguments.delta": {
        const written = part(each.item_id, "content_index" in each ? each.content_index : 0)
        expect(written.wholes).toEqual([])
        written.pieces += each.delta
        break
      }
      case "response.output_audio.delta":
        expect(part(each.item_id, each.content_index).wholes).toEqual([])
        break
      case "response.output_text.done":
        part(each.item_id, each.content_index).wholes.push(each.text)
        break
      case "response.output_audio_transcript.done":
        part(each.item_id, each.content_index).wholes.push(each.transcript)
        break
      case "response.function_call_arguments.done":
        part(each.item_id).wholes.push(each.arguments)
        break
      case "response.content_part.done":
        part(each.item_id, each.content_index).wholes.push(
          each.part.type === "text" ? each.part.text : each.part.transcript,
        )
        break
      case "response.output_item.done":
        for (const [index, text] of textsOf(each.item).entries()) part(each.item.id, index).wholes.push(text)
        break
      case "response.done":
        for (const item of each.response.output) {
          for (const [index, text] of textsOf(item).entries()) part(item.id, index).wholes.push(text)
        }
        break
      default:
    }
  }
  for (const { pieces, wholes } of parts.values()) {
    expect(wholes.length).toBeGreaterThan(0)
    expect(wholes.filter((whole) => whole !== pieces)).toEqual([])
  }
}

/** An event about an item comes after the event that named it first. */
export const checkKnown = (events: ReadonlyArray<ServerEvent>): void => {
  const known = new Set<string>()
  for (const each of events) {
    switch (each.type) {
      case "input_audio_buffer.speech_started":
      case "input_audio_buffer.committed":
      case "input_audio_buffer.timeout_triggered":
        known.add(each.item_id)
        break
      case "conversation.item.added":
      case "response.output_item.added":
        known.add(each.item.id)
        break
      default:
        if ("item_id" in each) expect(known).toContain(each.item_id)
        if ("item" in each) expect(known).toContain(each.item.id)
    }
  }
}

/** Each event of the client causes one error at most, and what was illegal causes one. `illegal`: ids of events. */
export const checkErrors = (
  events: ReadonlyArray<ServerEvent>,
  sent: ReadonlySet<string>,
  illegal: ReadonlySet<string>,
): void => {
  const causes = events.flatMap((each) => (each.type === "error" ? [each.error.event_id] : []))
  const known = causes.filter((id) => id !== null)
  expect(known.filter((id) => !sent.has(id))).toEqual([])
  expect(new Set(known).size).toBe(known.length)
  expect([...illegal].filter((id) => !known.includes(id))).toEqual([])
}

/** A response that the user's speech has cut is preceded by the speech_started that cut it. */
export const checkInterruptions = (events: ReadonlyArray<ServerEvent>): void => {
  let starts = 0
  let cuts = 0
  for (const each of events) {
    if (each.type === "input_audio_buffer.speech_started") starts += 1
    if (each.type !== "response.done") continue
    const details = each.response.status_details
    if (details?.type === "cancelled" && details.reason === "turn_detected") cuts += 1
    expect(cuts).toBeLessThanOrEqual(starts)
  }
}
