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

/** A log file can't be opened. */
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

/** As JSON has it, without depth; whatever it is, no line fails to be written. */
const flat = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(flat)
  const isPlain = typeof value === "number" || typeof value === "boolean" || value === null
  return isPlain ? value : Inspectable.toStringUnknown(value, 0)
}

const framesOf = (error: unknown) =>
  Cause.prettyErrors(Cause.fail(error)).flatMap(({ stack }) =>
    (stack ?? "").split("\n").filter((line) => line.startsWith("    at ")),
  )

/**
 * An error by its name and stack, with its causes; a defect or a foreign error by its message too. Never by its fields,
 * which the library would print: what people said may be in them (PostgreSQL's `detail` quotes the row that it
 * refused), as in the message of a tagged error, which is for the caller.
 */
export const stackOf = (error: unknown): string => {
  if (Predicate.isTagged(error, "ChannelException") && "error" in error) return stackOf(error.error)
  if (!(error instanceof Error))
    return Predicate.hasProperty(error, "_tag") ? `${error._tag}` : `a thrown ${typeof error}`
  const message = "_tag" in error || error.message === "" ? "" : `: ${error.message}`
  const because = error.cause === undefined ? [] : [`because of ${stackOf(error.cause)}`]
  return [`${error.name}${message}`, ...framesOf(error), ...because].join("\n")
}

/** What a record says, flat: `{time, level, event, requestId, …}`, and where something failed its `stack`. */
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
    // First in the line, and never replaced by an annotation of the same name.
    ...own,
    ...Object.fromEntries(
      [...annotations].filter(([, value]) => value !== undefined).map(([name, value]) => [name, flat(value)]),
    ),
    ...own,
    ...(failures.length === 0 ? {} : { stack: failures.join("\n") }),
  }
}

/** What a terminal or a viewer of logs would obey, or take for the end of a line, as JSON may write it too. */
const escaped = (text: string) =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
    ).join(""),
  )

/** One line of JSON. */
export const jsonLogger = Logger.map(Logger.make(fieldsOf), (fields) => escaped(JSON.stringify(fields)))

const shown = (value: unknown) => {
  const text = Inspectable.toStringUnknown(value, 0)
  return /^[^\s"=\p{C}]+$/u.test(text) ? text : escaped(JSON.stringify(text))
}

/** A line for a person: `12:00:00.000 INFO turn.stage stage=stt ms=612`, and what failed, indented, below it. */
export const readableLogger = Logger.map(Logger.make(fieldsOf), ({ time, level, event, stack, ...fields }) =>
  [
    [
      time.slice(11, 23),
      level.toUpperCase(),
      escaped(event),
      ...Object.entries(fields).map(([name, value]) => `${name}=${shown(value)}`),
    ].join(" "),
    ...(stack === undefined ? [] : stack.split("\n").map((line) => `    ${escaped(line)}`)),
  ].join("\n"),
)

/** 10 MB a file and 5 old files (`combined.log.1` is the newest): a few days of a busy service in 60 MB a log. */
const rotation = { size: "10M", rotate: 5 } as const

/** A file that grows by a line per record, and is rotated by size. It is complete when the scope has closed. */
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
        const message = `The log ${folder}/${name} can't be written (${error.message}): let this user write there, or set LOG_DIR to another folder, or to nothing for no files.`
        resume(new LogNotWritable({ message }))
        // A disk that is full, say, is no reason to end a service that runs; the console still has every line.
        if (started) process.stderr.write(`${message} It gets no more lines until the next start.\n`)
      })
    }),
    (file) => Effect.async<void>((resume) => void file.end(() => resume(Effect.void))),
  )

/** `combined.log`, and of errors also `error.log`. `size`: of a file until it is rotated, as `10M`. */
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

/** JSON on the console in production, readable elsewhere; and JSON in LOG_DIR. */
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

/** For a command whose output is its answer: what went wrong, on stderr, and no files. */
export const onlyWarnings = Layer.merge(
  Logger.replace(Logger.defaultLogger, Logger.withConsoleError(readableLogger)),
  Logger.minimumLogLevel(LogLevel.Warning),
)

/** The last line of a service that did start: by then all of it is over, except for the log itself. */
export const lastLine = Layer.scopedDiscard(
  Effect.addFinalizer((exit) =>
    Exit.isFailure(exit) && !Exit.isInterrupted(exit) ? Effect.void : Effect.logInfo("server.stopped"),
  ),
)
