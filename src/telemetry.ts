import { Array as Arr, Cause, Effect, Inspectable, Layer, Logger, LogLevel, Option } from "effect"
import { createStream } from "rotating-file-stream"
import { Settings } from "./config.ts"

const levels = {
  debug: LogLevel.Debug,
  info: LogLevel.Info,
  warn: LogLevel.Warning,
  error: LogLevel.Error,
  none: LogLevel.None,
} as const

/** 10 MB a file and 5 old files: a few days of a busy service in 60 MB a log. */
const rotation = { size: "10M", maxFiles: 5 } as const

/** A file that grows by a line per record, and is rotated by size. What can't be written never ends the service. */
const openFile = (folder: string, name: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const file = createStream(name, { ...rotation, path: folder })
      file.on("error", (error) =>
        process.stderr.write(`The log ${folder}/${name} can't be written: ${error.message}\n`),
      )
      return file
    }),
    (file) => Effect.async<void>((resume) => void file.end(() => resume(Effect.void))),
  )

const fileLogger = (folder: string) =>
  Effect.gen(function* () {
    const combined = yield* openFile(folder, "combined.log")
    const errors = yield* openFile(folder, "error.log")
    return Logger.make<unknown, void>((record) => {
      const line = `${Logger.jsonLogger.log(record)}\n`
      combined.write(line)
      if (LogLevel.greaterThanEqual(record.logLevel, LogLevel.Error)) errors.write(line)
    })
  })

/** A line for a person: `12:00:00.000 INFO stage  stage=stt ms=612`, and the cause below it. */
const readable = Logger.make<unknown, void>(({ annotations, cause, date, logLevel, message }) => {
  const fields = Array.from(annotations, ([key, value]) => `${key}=${Inspectable.toStringUnknown(value, 0)}`)
  const said = Arr.ensure(message).map((part) => Inspectable.toStringUnknown(part, 0))
  const line = [date.toISOString().slice(11, 23), logLevel.label, ...said, ...fields].join(" ")
  const why = Cause.isEmpty(cause) ? "" : `\n${Cause.pretty(cause, { renderErrorCause: true })}`
  globalThis.console.log(`${line}${why}`)
})

/** JSON on the console in production, readable elsewhere; and JSON in LOG_DIR. */
export const layer = Layer.unwrapEffect(
  Effect.map(Settings, ({ environment, logDir, logLevel }) => {
    const console = environment === "production" ? Logger.withConsoleLog(Logger.jsonLogger) : readable
    return Layer.mergeAll(
      Logger.replace(Logger.defaultLogger, console),
      Option.match(logDir, {
        onNone: () => Layer.empty,
        onSome: (folder) => Logger.addScoped(fileLogger(folder)),
      }),
      Logger.minimumLogLevel(levels[logLevel]),
    )
  }),
)
