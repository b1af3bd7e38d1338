import {
  Array as Arr,
  Cause,
  Effect,
  Exit,
  Inspectable,
  Layer,
  Logger,
  LogLevel,
  Option,
  Predicate,
  Schema,
} from "effect"
import { createStream, type RotatingFileStream } from "rotating-file-stream"
import { Settings } from "./config.ts"

/** A log file cannot be opened. */
export class LogNotWritable extends Schema.TaggedError<LogNotWritable>()("LogNotWritable", {
  message: Schema.String,
}) {}

const levels = {
  debug: LogLevel.Debug,
  info: LogLevel.Info,
  warn: LogLevel.Warning,
  error: LogLevel.Error,
  none: LogLevel.None,
} as const

/** A JSON value without nested objects. Accepts any value: writing a log line must not fail. */
const flatten = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(flatten)
  const isPlain = typeof value === "number" || typeof value === "boolean" || value === null
  return isPlain ? value : Inspectable.toStringUnknown(value, 0)
}

const framesOf = (error: unknown) =>
  Cause.prettyErrors(Cause.fail(error)).flatMap(({ stack }) =>
    (stack ?? "").split("\n").filter((line) => line.startsWith("    at ")),
  )

/**
 * The name, stack and causes of an error, and of an untagged error also its message. Leaves out the fields, which Effect
 * would print, and the message of a tagged error, which is for the client: both may contain transcripts (PostgreSQL's
 * `detail` quotes the rejected row).
 */
export const stackOf = (error: unknown): string => {
  if (Predicate.isTagged(error, "ChannelException") && "error" in error) return stackOf(error.error)
  if (!(error instanceof Error))
    return Predicate.hasProperty(error, "_tag") ? `${error._tag}` : `a thrown ${typeof error}`
  const message = "_tag" in error || error.message === "" ? "" : `: ${error.message}`
  const because = error.cause === undefined ? [] : [`because of ${stackOf(error.cause)}`]
  return [`${error.name}${message}`, ...framesOf(error), ...because].join("\n")
}

/** The order of the fields that many lines have. Others follow by name: annotations come in the order of their hashes. */
const fieldOrder = ["requestId", "sessionId", "turnId", "stage", "ms", "ok"]

const rankOf = (name: string) => (fieldOrder.includes(name) ? fieldOrder.indexOf(name) : fieldOrder.length)

const byFieldOrder = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]) =>
  rankOf(a) - rankOf(b) || (a < b ? -1 : 1)

/** The fields of a record: `{time, level, event, requestId, …}`, and `stack` if it has an error. */
const fieldsOf = ({ annotations, cause, date, logLevel, message }: Logger.Logger.Options<unknown>) => {
  const parts = Arr.ensure(message)
  const failures = [
    ...parts.filter((part) => part instanceof Error),
    ...Cause.failures(cause),
    ...Cause.defects(cause),
  ].map(stackOf)
  const own = {
    time: date.toISOString(),
    level: logLevel === LogLevel.Warning ? "warn" : logLevel.label.toLowerCase(),
    event: parts
      .filter((part) => !(part instanceof Error))
      .map((part) => Inspectable.toStringUnknown(part, 0))
      .join(" "),
  }
  return {
    // Spread twice: the first puts these fields first in the line, the second keeps annotations from replacing them.
    ...own,
    ...Object.fromEntries(
      [...annotations]
        .filter(([, value]) => value !== undefined)
        .toSorted(byFieldOrder)
        .map(([name, value]) => [name, flatten(value)]),
    ),
    ...own,
    ...(failures.length === 0 ? {} : { stack: failures.join("\n") }),
  }
}

/** Replaces control, format and line-separator characters by JSON escapes. Prevents log forging and terminal commands. */
const escapeControls = (text: string) =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
    ).join(""),
  )

/** One line of JSON. */
export const jsonLogger = Logger.map(Logger.make(fieldsOf), (fields) =>
  escapeControls(JSON.stringify(fields)),
)

/** Quoted if it contains spaces, quotes, `=` or control characters. */
const readableValue = (value: unknown) => {
  const text = Inspectable.toStringUnknown(value, 0)
  return /^[^\s"=\p{C}]+$/u.test(text) ? text : escapeControls(JSON.stringify(text))
}

/** A readable line, `12:00:00.000 INFO turn.stage stage=stt ms=612`, followed by the stack, indented. */
export const readableLogger = Logger.map(Logger.make(fieldsOf), ({ time, level, event, stack, ...fields }) =>
  [
    [
      time.slice(11, 23),
      level.toUpperCase(),
      escapeControls(event),
      ...Object.entries(fields).map(([name, value]) => `${name}=${readableValue(value)}`),
    ].join(" "),
    ...(stack === undefined ? [] : stack.split("\n").map((line) => `    ${escapeControls(line)}`)),
  ].join("\n"),
)

/** 10 MB a file and 5 old files (`combined.log.1` is the newest): 60 MB per log, a few days of a busy service. */
const rotation = { size: "10M", rotate: 5 } as const

/** A log file that is rotated by size. All lines are written when the scope has closed. */
const openFile = (folder: string, name: string, size: string) =>
  Effect.acquireRelease(
    Effect.async<RotatingFileStream, LogNotWritable>((resume) => {
      const file = createStream(name, { ...rotation, size, path: folder })
      let started = false
      file.once("open", () => {
        started = true
        resume(Effect.succeed(file))
      })
      file.on("error", (error) => {
        const message = `The log file ${folder}/${name} cannot be written (${error.message}). Make it writable for this user, set LOG_DIR to another folder, or leave LOG_DIR empty to write no log files.`
        resume(new LogNotWritable({ message }))
        // A full disk does not end a running service: the console still gets every line.
        if (started)
          process.stderr.write(`${message} No more lines are written to it until the service is restarted.\n`)
      })
    }),
    (file) => Effect.async<void>((resume) => void file.end(() => resume(Effect.void))),
  )

/**
 * Writes all records to `combined.log`, and errors also to `error.log`. `size`: when a file is rotated, such as
 * `10M`.
 */
export const fileLogger = (folder: string, size: string = rotation.size) =>
  Effect.gen(function* () {
    const combined = yield* openFile(folder, "combined.log", size)
    const errors = yield* openFile(folder, "error.log", size)
    return Logger.make<unknown, void>((record) => {
      const line = `${jsonLogger.log(record)}\n`
      if (combined.writable) combined.write(line)
      if (errors.writable && LogLevel.greaterThanEqual(record.logLevel, LogLevel.Error)) errors.write(line)
    })
  })

/** Logs to the console, as JSON in production and readable elsewhere, and to JSON files in LOG_DIR. */
export const layer = Layer.unwrapEffect(
  Effect.map(Settings, ({ environment, logDir, logLevel }) => {
    const line = environment === "production" ? jsonLogger : readableLogger
    return Layer.mergeAll(
      Logger.replace(
        Logger.defaultLogger,
        Logger.map(line, (text) => globalThis.console.log(text)),
      ),
      Option.match(logDir, {
        onNone: () => Layer.empty,
        onSome: (folder) => Logger.addScoped(fileLogger(folder)),
      }),
      Logger.minimumLogLevel(levels[logLevel]),
    )
  }),
)

/** For commands whose stdout is their result: the log from this level up on stderr, and no log files. */
const onStderr = (level: LogLevel.LogLevel) =>
  Layer.merge(
    Logger.replace(Logger.defaultLogger, Logger.withConsoleError(readableLogger)),
    Logger.minimumLogLevel(level),
  )
export const onlyWarnings = onStderr(LogLevel.Warning)
export const onlyErrors = onStderr(LogLevel.Error)

/** Without log lines. */
export const silently = Logger.withMinimumLogLevel(LogLevel.None)

/** The last log line of a service that started: everything but the log has stopped. */
export const lastLine = Layer.scopedDiscard(
  Effect.addFinalizer((exit) =>
    Exit.isFailure(exit) && !Exit.isInterrupted(exit) ? Effect.void : Effect.logInfo("server.stopped"),
  ),
)
