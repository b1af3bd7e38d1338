/** Reading JSON without trusting it: each reader returns its type or throws BAD_ANSWER. */
import { badAnswer, VoiceAgentError } from "./errors.ts"

export type Reader<A> = (value: unknown) => A

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const expected = (what: string): never => {
  throw badAnswer(`${what} was expected`)
}

/** For responses without a body. */
export const nothing: Reader<undefined> = () => undefined
export const text: Reader<string> = (value) => (typeof value === "string" ? value : expected("a string"))
export const number: Reader<number> = (value) => (typeof value === "number" ? value : expected("a number"))
export const boolean: Reader<boolean> = (value) =>
  typeof value === "boolean" ? value : expected("a boolean")
export const object: Reader<Readonly<Record<string, unknown>>> = (value) =>
  isObject(value) ? value : expected("an object")

export const orNull =
  <A>(read: Reader<A>): Reader<A | null> =>
  (value) =>
    value === null ? null : read(value)

export const optional =
  <A>(read: Reader<A>): Reader<A | undefined> =>
  (value) =>
    value === undefined ? undefined : read(value)

/** The first of the readers that takes the value. */
export const anyOf =
  <Values extends ReadonlyArray<unknown>>(
    ...readers: { readonly [At in keyof Values]: Reader<Values[At]> }
  ): Reader<Values[number]> =>
  (value) => {
    for (const read of readers) {
      try {
        return read(value)
      } catch (error) {
        if (!(error instanceof VoiceAgentError)) throw error
      }
    }
    return expected("another value")
  }

/** Reads an object by its `type`. */
export const byType =
  <Kinds extends Readonly<Record<string, unknown>>>(
    readers: {
      readonly [Type in keyof Kinds]: Reader<Kinds[Type]>
    },
  ): Reader<Kinds[keyof Kinds]> =>
  (value) => {
    const isKnown = (type: unknown): type is keyof Kinds =>
      typeof type === "string" && Object.hasOwn(readers, type)
    const { type } = object(value)
    return isKnown(type) ? readers[type](value) : expected("an object of a known type")
  }

export const recordOf =
  <A>(read: Reader<A>): Reader<Readonly<Record<string, A>>> =>
  (value) =>
    Object.fromEntries(Object.entries(object(value)).map(([name, each]) => [name, read(each)]))

export const listOf =
  <A>(read: Reader<A>): Reader<ReadonlyArray<A>> =>
  (value) =>
    Array.isArray(value) ? value.map((each: unknown) => read(each)) : expected("a list")

/** Reads an object's fields by name. */
export const fieldsOf = (value: unknown): (<A>(name: string, read: Reader<A>) => A) => {
  const fields = object(value)
  return (name, read) => {
    try {
      return read(fields[name])
    } catch (error) {
      throw error instanceof VoiceAgentError ? badAnswer(`its field "${name}" is wrong`) : error
    }
  }
}

/** Parses and reads JSON. */
export const parse = <A>(json: string, read: Reader<A>): A => {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (error) {
    throw badAnswer("it is not JSON", undefined, error)
  }
  return read(value)
}

/** The error of a response with a status other than 2xx. `json` is its body. */
export const errorOf = (status: number, json: string, header: (name: string) => string | null) => {
  let body: Readonly<Record<string, unknown>> = {}
  try {
    const parsed: unknown = JSON.parse(json)
    if (isObject(parsed)) body = parsed
  } catch {
    // A proxy's error page. Only its status counts.
  }
  const { error, message, requestId } = body
  // In seconds. Proxies may send a date instead, which is ignored.
  const seconds = Number.parseFloat(header("retry-after") ?? "")
  return new VoiceAgentError({
    code: typeof error === "string" ? error : "BAD_ANSWER",
    message: typeof message === "string" ? message : `The service could not be reached (HTTP ${status}).`,
    status,
    requestId: typeof requestId === "string" ? requestId : (header("x-request-id") ?? undefined),
    retryAfter: Number.isFinite(seconds) ? seconds : undefined,
  })
}
