import * as SqlClient from "@effect/sql/SqlClient"
import { type Cause, Context, Duration, Effect, Layer, Option, Queue, Redacted, Schema } from "effect"
import { query } from "../db/postgres.ts"
import { findAll } from "../db/rows.ts"
import { sha256 } from "../hash.ts"
import { Stage } from "../schema.ts"

/** One server, as it is asked for one model. */
interface Subject {
  readonly stage: Stage
  readonly baseUrl: string
  readonly model: string
}

/** What a server refused in a request. */
export interface Lesson {
  readonly parameter: string
  /**
   * The refused value. A JSON value: `"pcm"` may be refused, and `"mp3"` accepted. Of a `Redacted` value only a hash is
   * kept, and the log has none of it.
   */
  readonly value: unknown
  /** What the server accepted in its place: the other name, or the other value. None: it accepted the request without. */
  readonly instead: Option.Option<string>
}

/** What one server refuses of requests for one model. Plain functions: they run inside a request to the provider. */
export interface ServerLessons {
  /** True if the server refused this value of the parameter. Ends 30 days after it was learned. */
  readonly refuses: (parameter: string, value: unknown) => boolean
  /** Keeps the lesson. Logs and saves it in the background: a database that fails does not harm the request. */
  readonly learn: (lesson: Lesson) => void
  /** Logs a change that holds for one request. It is not kept. */
  readonly noteOnce: (lesson: Lesson) => void
  /** Ends the lesson, because the server requires what it leaves out. */
  readonly forget: (parameter: string, value: unknown) => void
}

/** An upgraded server gets the whole request again after this time. */
const lifetime = Duration.days(30)

/** Longer values, as JSON, are compared by their beginning. In characters. */
const maxValueLength = 200

const Row = Schema.Struct({
  stage: Stage,
  server: Schema.String,
  model: Schema.String,
  parameter: Schema.String,
  value: Schema.String,
  instead: Schema.OptionFromNullOr(Schema.String),
})
type Row = typeof Row.Type

const StoredRow = Schema.Struct({
  ...Row.fields,
  instead: Schema.NullOr(Schema.String),
  ageMs: Schema.Number,
})

const jsonOf = (value: unknown) => JSON.stringify(value) ?? "null"

/** No JSON value begins like this. */
const hashPrefix = "sha256:"

const textOf = (value: unknown) =>
  Redacted.isRedacted(value)
    ? `${hashPrefix}${sha256(jsonOf(Redacted.value(value)), "hex")}`
    : jsonOf(value).slice(0, maxValueLength)

const loggedFields = ({ stage, model, parameter, value }: Key) => ({
  stage,
  model,
  parameter,
  ...(value.startsWith(hashPrefix) ? {} : { value }),
})

/** For people: "max_completion_tokens instead of max_tokens", "no temperature". */
const describe = ({ parameter, value, instead }: typeof StoredRow.Type) => {
  const isWord = value.startsWith('"')
  if (instead === null) return isWord ? `no ${parameter} ${value}` : `no ${parameter}`
  return isWord ? `${parameter} "${instead}" instead of ${value}` : `${instead} instead of ${parameter}`
}

/** Those of one server and model, for people. */
export const describeLessons = (
  rows: ReadonlyArray<typeof StoredRow.Type>,
  { stage, baseUrl, model }: Subject,
): string =>
  rows
    .filter((row) => row.stage === stage && row.server === serverOf(baseUrl) && row.model === model)
    .map(describe)
    .join("; ")

/** The base URL without credentials, query and the slash at the end. */
const serverOf = (baseUrl: string) => {
  const { protocol, host, pathname } = new URL(baseUrl)
  return `${protocol}//${host}${pathname.replace(/\/+$/, "")}`
}

type Key = Omit<Row, "instead">

const keyOf = ({ stage, server, model, parameter, value }: Key) =>
  JSON.stringify([stage, server, model, parameter, value])

/** Where lessons outlive the process. */
interface Store {
  readonly save: (row: Row) => Effect.Effect<void>
  readonly remove: (key: Key) => Effect.Effect<void>
}

/** The lessons that have not ended, oldest first, with their age in ms. */
export const storedLessons = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return yield* findAll(
    StoredRow,
    sql`select stage, server, model, parameter, value, instead,
        extract(epoch from now() - learned_at)::float8 * 1000 as "ageMs"
      from provider_lessons where learned_at > now() - make_interval(secs => ${Duration.toSeconds(lifetime)})
      order by learned_at`,
  )
})

const withChange = (row: Row) =>
  Effect.annotateLogs({ ...loggedFields(row), instead: Option.getOrUndefined(row.instead) })

const logLearned = (row: Row) => withChange(row)(Effect.logInfo("provider.lesson_learned"))

const logAdapted = (row: Row) => withChange(row)(Effect.logInfo("provider.request_adapted"))

const logForgotten = (key: Key) =>
  Effect.logInfo("provider.lesson_forgotten").pipe(Effect.annotateLogs(loggedFields(key)))

const make = Effect.fnUntraced(function* (stored: ReadonlyArray<typeof StoredRow.Type>, store: Store) {
  const clock = yield* Effect.clock
  const now = () => clock.unsafeCurrentTimeMillis()
  /** The time until which each lesson holds. */
  const known = new Map(
    stored.map((row) => [keyOf(row), now() + Duration.toMillis(lifetime) - row.ageMs] as const),
  )
  const due = yield* Queue.unbounded<Effect.Effect<void>>()
  yield* Queue.take(due).pipe(Effect.flatten, Effect.forever, Effect.forkScoped)
  return Lessons.of({
    of: ({ stage, baseUrl, model }) => {
      const server = serverOf(baseUrl)
      const keyFor = (parameter: string, value: unknown): Key => ({
        stage,
        server,
        model,
        parameter,
        value: textOf(value),
      })
      const refuses = (parameter: string, value: unknown) =>
        (known.get(keyOf(keyFor(parameter, value))) ?? 0) > now()
      return {
        refuses,
        learn: ({ parameter, value, instead }) => {
          // Requests that run at the same time learn the same.
          if (refuses(parameter, value)) return
          const row = { ...keyFor(parameter, value), instead }
          known.set(keyOf(row), now() + Duration.toMillis(lifetime))
          Queue.unsafeOffer(due, Effect.zipRight(logLearned(row), store.save(row)))
        },
        noteOnce: ({ parameter, value, instead }) => {
          Queue.unsafeOffer(due, logAdapted({ ...keyFor(parameter, value), instead }))
        },
        forget: (parameter, value) => {
          const key = keyFor(parameter, value)
          if (!known.delete(keyOf(key))) return
          Queue.unsafeOffer(due, Effect.zipRight(logForgotten(key), store.remove(key)))
        },
      }
    },
  })
})

/** Of every cause: no failure of the database may stop the service or a turn. */
const orElseWarn = <A>(instead: A) =>
  Effect.catchAllCause((cause: Cause.Cause<unknown>) =>
    Effect.as(Effect.logWarning("provider.lessons_unavailable", cause), instead),
  )

/** What the providers' servers refused, for as long as 30 days. */
export class Lessons extends Context.Tag("voice-agent/Lessons")<
  Lessons,
  { readonly of: (subject: Subject) => ServerLessons }
>() {
  /** Forgets with the process: for commands without the database, and for tests. */
  static readonly layerMemory = Layer.scoped(
    Lessons,
    Effect.suspend(() => make([], { save: () => Effect.void, remove: () => Effect.void })),
  )

  /** Reads the database at the start. Without it the service starts with no lessons, and learns them again. */
  static readonly layer = Layer.scoped(
    Lessons,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const deleteOld = sql`delete from provider_lessons
        where learned_at < now() - make_interval(secs => ${Duration.toSeconds(lifetime)})`
      const store: Store = {
        save: ({ stage, server, model, parameter, value, instead }) =>
          query(sql`insert into provider_lessons (stage, server, model, parameter, value, instead)
            values (${stage}, ${server}, ${model}, ${parameter}, ${value}, ${Option.getOrNull(instead)})
            on conflict (stage, server, model, parameter, value)
            do update set instead = excluded.instead, learned_at = excluded.learned_at`).pipe(
            Effect.asVoid,
            orElseWarn(undefined),
          ),
        remove: ({ stage, server, model, parameter, value }) =>
          query(sql`delete from provider_lessons where stage = ${stage} and server = ${server}
            and model = ${model} and parameter = ${parameter} and value = ${value}`).pipe(
            Effect.asVoid,
            orElseWarn(undefined),
          ),
      }
      const stored = yield* query(deleteOld).pipe(Effect.zipRight(query(storedLessons)), orElseWarn([]))
      return yield* make(stored, store)
    }),
  )
}
