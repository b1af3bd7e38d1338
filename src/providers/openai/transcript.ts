import { Option, Predicate, Schema } from "effect"
import { isUnspaced } from "../../text/characters.ts"
import { wrongAnswer } from "../errors.ts"
import { parseJson } from "../json.ts"
import { reportedError } from "./errors.ts"
import { candidatesIn, fromEvents, fromTsv } from "./transcript-shapes.ts"

const Segment = Schema.Struct({ text: Schema.String })
const areSegments = Schema.is(Schema.NonEmptyArray(Segment))

/**
 * Whisper's own two thresholds for silence. Its text for silence ("Thanks for watching!") comes from its training data.
 * Over 0.9 the probability of the text does not matter. A segment without the two numbers is not silence.
 */
const isSilence = (segment: object) =>
  Predicate.hasProperty(segment, "no_speech_prob") &&
  Predicate.isNumber(segment.no_speech_prob) &&
  (segment.no_speech_prob > 0.9 ||
    (segment.no_speech_prob > 0.6 &&
      Predicate.hasProperty(segment, "avg_logprob") &&
      Predicate.isNumber(segment.avg_logprob) &&
      segment.avg_logprob < -1))

interface Placed {
  /** With the space before it. */
  readonly text: string
  readonly isSilent: boolean
}

/** The segments as they stand in the whole text. None if they do not. */
const placed = (whole: string, segments: ReadonlyArray<typeof Segment.Type>) => {
  const parts: Array<Placed> = []
  let at = 0
  for (const segment of segments) {
    const start = whole.indexOf(segment.text.trim(), at)
    if (start < 0) return Option.none()
    const end = start + segment.text.trim().length
    parts.push({ text: whole.slice(at, end), isSilent: isSilence(segment) })
    at = end
  }
  return Option.some(parts)
}

/** Segments that begin with a space where the language has one, or that were all trimmed. */
const separated = (segments: ReadonlyArray<typeof Segment.Type>): ReadonlyArray<Placed> => {
  const areTrimmed = segments.every(({ text }) => text === text.trim())
  return segments.map((segment) => ({
    text: areTrimmed && !isUnspaced(segment.text) ? ` ${segment.text}` : segment.text,
    isSilent: isSilence(segment),
  }))
}

/** The text without the segments that are silence. The rest keeps the provider's own spaces. */
const withoutSilence = (text: string | undefined, segments: unknown): string | undefined => {
  if (!areSegments(segments)) return text
  if (text !== undefined && !segments.some(isSilence)) return text
  return Option.getOrElse(placed(text ?? "", segments), () => separated(segments))
    .filter(({ isSilent }) => !isSilent)
    .map(({ text }) => text)
    .join("")
}

/** Python writes NaN into JSON. In a string it is a word. */
const withoutNaN = (json: string) =>
  json.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (found) =>
    found.startsWith('"') ? found : "null",
  )

const textField = Schema.is(Schema.Struct({ text: Schema.String }))
const transcriptField = Schema.is(Schema.Struct({ transcript: Schema.String }))
const transcriptionField = Schema.is(Schema.Struct({ transcription: Schema.String }))

const fieldOf = (body: object): string | undefined => {
  if (textField(body)) return body.text
  if (transcriptField(body)) return body.transcript
  return transcriptionField(body) ? body.transcription : undefined
}

/** For the log. */
const missing = "no transcript in it"

const fromJson = (body: unknown) => {
  if (typeof body === "string") return body
  if (areSegments(body)) return withoutSilence(undefined, body) ?? ""
  for (const part of candidatesIn(body)) {
    const text = withoutSilence(fieldOf(part), part.segments)
    if (text !== undefined) return text
  }
  return reportedError("stt", body, missing)
}

const CUE = /^(?:\d+:)?\d+:\d+[.,]\d+\s+-->/
const SUBTITLES = /^(?:WEBVTT\b|\d+\s*\n(?:\d+:)?\d+:\d+[.,]\d+\s+-->)/

/** The words of SRT and WebVTT: the lines of each cue after its time. */
const fromSubtitles = (body: string) =>
  body
    .split(/\n\s*\n/)
    .map((cue) => cue.split("\n"))
    .flatMap((lines) => {
      const time = lines.findIndex((line) => CUE.test(line))
      return time < 0 ? [] : lines.slice(time + 1)
    })
    .join(" ")

/** The special tokens of recognizers, such as `<|en|>` and `<|0.00|>`. */
const TOKENS = /<\|[\w.:/ -]{0,40}\|>/g

/** How JSON, markup and events begin. */
const MARKUP = /^(?:\{|<(?!\|)|\[\s*[{"\]]|(?:data|event):)/

/** Where text is expected, a bracket or `data:` may begin a sentence. JSON that is cut off, HTML and events of JSON do not. */
const DOCUMENT =
  /^(?:\{\s*"\w+"\s*:|<(?:!doctype|!--|\?xml|html|head|body|title|meta|script|center|div|h\d|p)\b|(?:event:.*\n)?data:\s*[{[]\s*["{])/i

/**
 * The transcript in the body of an answer: JSON of several servers, events, plain text, SRT, WebVTT or TSV. What it is shows in
 * the body, since its Content-Type is often wrong. Returns the error of a body without a transcript.
 */
export const readTranscript = (given: string, contentType: string) => {
  const body = given
    .replaceAll("\r\n", "\n")
    .replace(/^\uFEFF/, "")
    .trim()
  const isText = /^text\/plain\b/i.test(contentType)
  // A lone word or number is JSON by accident.
  const parsed =
    isText && /^[\w.+-]+$/.test(body)
      ? Option.none()
      : Option.orElse(parseJson(body), () => parseJson(withoutNaN(body)))
  if (Option.isSome(parsed)) return clean(fromJson(parsed.value))
  // A server that was asked for JSON and has heard nothing may send an empty text.
  if (body === "") return isText && given !== "" ? "" : wrongAnswer("stt", missing)
  const last = /^(?:data|event|id|:)/.test(body) ? fromEvents(body) : Option.none()
  if (Option.isSome(last)) return clean(fromJson(last.value))
  if ((isText ? DOCUMENT : MARKUP).test(body)) return wrongAnswer("stt", missing)
  return clean(Option.getOrElse(fromTsv(body), () => (SUBTITLES.test(body) ? fromSubtitles(body) : body)))
}

/** PostgreSQL stores no NUL in text. */
const clean = (transcript: ReturnType<typeof fromJson>) =>
  typeof transcript === "string" ? transcript.replace(TOKENS, "").replaceAll("\0", "").trim() : transcript
