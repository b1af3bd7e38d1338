import { Duration, Effect } from "effect"
import { Elysia } from "elysia"
import { chunksOf, inTime } from "./chunks.ts"
import { PayloadTooLarge, type RequestTimeout, UnsupportedMediaType, ValidationFailed } from "./errors.ts"
import { makeRun } from "./run.ts"

/** 1 MB: the largest JSON or form body of a user. */
const mostOfUsers = 1024 * 1024
/** Of anybody else: an e-mail address, a key and a token take a tenth of it. */
export const mostOfAnyone = 8 * 1024
/** For 1 MB: a line of 280 kbit/s. */
const timeout = Duration.seconds(30)
/** Far more than anyone writes by hand, far less than the stack of what walks over a value. */
const maxLevels = 100

/** Whether a value has at most so many objects and lists within each other. */
const isNestedWithin = (levels: number, value: unknown): boolean =>
  typeof value !== "object" ||
  value === null ||
  (levels > 0 && Object.values(value).every((each) => isNestedWithin(levels - 1, each)))

/** The bytes of a body; what is past the limit is not read. */
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
      error === tooLarge ? tooLarge : new ValidationFailed({ message: "The body broke off before its end." }),
  }).pipe(inTime(timeout))
}

/** A body of named fields, as JSON or as a form; an empty one has no fields. */
const readFields = Effect.fn("readFields")(function* (request: Request, maxBytes: number) {
  const type = (request.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase()
  const isForm = type === "application/x-www-form-urlencoded"
  if (type !== "" && type !== "application/json" && !isForm) {
    return yield* new UnsupportedMediaType({ supported: "application/json" })
  }
  const bytes = yield* readBytes(request, maxBytes)
  if (bytes.length === 0) return {}
  if (type === "") return yield* new UnsupportedMediaType({ supported: "application/json" })
  const text = yield* Effect.try({
    try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
    catch: () => new ValidationFailed({ message: "The body is not valid UTF-8." }),
  })
  if (isForm) return Object.fromEntries(new URLSearchParams(text))
  const value = yield* Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: () => new ValidationFailed({ message: "The body is not valid JSON." }),
  })
  if (isNestedWithin(maxLevels, value)) return value
  return yield* new ValidationFailed({ message: `body: must be nested at most ${maxLevels} deep` })
})

/** Routes that follow the use of this plugin get their `body` from here; its Schema is the route's. */
export const fields = (maxBytes = mostOfUsers) =>
  Effect.map(makeRun, (run) =>
    new Elysia({ name: "fields", seed: maxBytes }).onParse({ as: "scoped" }, ({ request }) =>
      run(request, readFields(request, maxBytes)),
    ),
  )
