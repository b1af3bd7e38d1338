import { Duration, Effect, Either, Predicate } from "effect"
import { Elysia } from "elysia"
import { excessOf, type JsonExcess } from "../text/json-bounds.ts"
import { chunksOf, inTime } from "./chunks.ts"
import {
  PayloadTooLarge,
  type RequestTimeout,
  UnsupportedContentEncoding,
  UnsupportedMediaType,
  ValidationFailed,
} from "./errors.ts"
import { makeRun } from "./run.ts"

/** The largest JSON or form body of a signed-in user. */
const maxBodyBytes = 1024 * 1024
/** The same without a key: an e-mail address, a key and a token take a tenth of it. */
export const maxPublicBodyBytes = 8 * 1024
/** 1 MB in this time needs 280 kbit/s. */
const timeout = Duration.seconds(30)
/** Far below the depth at which a recursive function over the value overflows the stack. */
const maxDepth = 100
/** The metadata of a session has some hundred. Half a million, in 1 MB, take a second to decode. */
const maxValues = 50_000
/** A form of this API has two or three. */
const maxFormFields = 100

const refusals: Readonly<Record<JsonExcess, string>> = {
  depth: `body: must be nested at most ${maxDepth} levels deep`,
  values: `body: must have at most about ${maxValues} values`,
  length: "body: is too long",
}

const invalid = (message: string) => new ValidationFailed({ message })

const readForm = (text: string): Either.Either<unknown, ValidationFailed> =>
  text.split("&", maxFormFields + 1).length > maxFormFields
    ? Either.left(invalid(`body: must have at most ${maxFormFields} fields`))
    : Either.right(Object.fromEntries(new URLSearchParams(text)))

const readJson = (text: string): Either.Either<unknown, ValidationFailed> => {
  const excess = excessOf(text, { depth: maxDepth, values: maxValues, length: text.length })
  if (excess !== undefined) return Either.left(invalid(refusals[excess]))
  const read = Either.try({
    try: (): unknown => JSON.parse(text),
    catch: () => invalid("The body is not valid JSON."),
  })
  // Every body of the API is an object. Not left to the Schemas: one with defaults would answer in terms of its implementation.
  return Either.filterOrLeft(read, Predicate.isRecord, () => invalid("body: must be an object"))
}

/** Reads the body, up to the limit. */
const readBytes = (
  request: Request,
  maxBytes: number,
): Effect.Effect<Uint8Array, PayloadTooLarge | ValidationFailed | RequestTimeout> => {
  const tooLarge = new PayloadTooLarge({ maxBytes })
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) return Effect.fail(tooLarge)
  return Effect.tryPromise({
    try: async (signal) => {
      const chunks: Array<Uint8Array> = []
      let size = 0
      for await (const chunk of chunksOf(request, signal)) {
        size += chunk.length
        if (size > maxBytes) throw tooLarge
        chunks.push(chunk)
      }
      return Buffer.concat(chunks)
    },
    catch: (error) =>
      error === tooLarge ? tooLarge : new ValidationFailed({ message: "The request body ended early." }),
  }).pipe(inTime(timeout))
}

/** Fails for a compressed body: a decompressed one has no size limit of its own, and few clients compress. */
export const requireIdentity = (request: Request): Effect.Effect<void, UnsupportedContentEncoding> => {
  const encodings = (request.headers.get("content-encoding") ?? "").toLowerCase().split(/[,\s]+/)
  return encodings.every((each) => each === "" || each === "identity")
    ? Effect.void
    : new UnsupportedContentEncoding()
}

/** JSON is UTF-8 (RFC 8259, section 8.1), and so are forms (URL Standard). ASCII is a part of it. */
const UTF8 = /^"?(?:utf-?8|us-ascii|ascii)"?$/i

/** The fields of a JSON or form body. An empty body has none. */
const readBody = Effect.fn("readBody")(function* (request: Request, maxBytes: number) {
  const [type = "", ...parameters] = (request.headers.get("content-type") ?? "")
    .split(";")
    .map((each) => each.trim().toLowerCase())
  const isForm = type === "application/x-www-form-urlencoded"
  if (type !== "" && type !== "application/json" && !isForm) {
    return yield* new UnsupportedMediaType({ supported: "application/json" })
  }
  const charset = parameters.find((each) => each.startsWith("charset="))?.slice("charset=".length)
  if (charset !== undefined && !UTF8.test(charset)) {
    return yield* new UnsupportedMediaType({ supported: "application/json in UTF-8" })
  }
  yield* requireIdentity(request)
  const bytes = yield* readBytes(request, maxBytes)
  if (bytes.length === 0) return {}
  if (type === "") return yield* new UnsupportedMediaType({ supported: "application/json" })
  const text = yield* Effect.try({
    try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
    catch: () => invalid("The body is not valid UTF-8."),
  })
  return yield* isForm ? readForm(text) : readJson(text)
})

/** Parses the `body` of the routes after it; each route validates it with its own Schema. */
export const formOrJsonBody = (maxBytes = maxBodyBytes) =>
  Effect.map(makeRun, (run) =>
    new Elysia({ name: "form-or-json-body", seed: maxBytes }).onParse({ as: "scoped" }, ({ request }) =>
      run(request, readBody(request, maxBytes)),
    ),
  )
