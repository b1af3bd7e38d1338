import { Clock, Duration, Effect, Option } from "effect"
import type { RunnableTool } from "../runnable.ts"

const formatOf = Option.liftThrowable(
  (timeZone: string) =>
    new Intl.DateTimeFormat("en-GB", {
      timeZone,
      weekday: "long",
      year: "numeric",
      month: "long",
      day: "numeric",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      timeZoneName: "longOffset",
    }),
)

/** The date and the time, which a model cannot know. */
export const currentTime: RunnableTool = {
  tool: {
    name: "current_time",
    description: Option.some("The current date, weekday and time."),
    parameters: {
      type: "object",
      properties: {
        time_zone: {
          type: "string",
          description: "An IANA time zone, such as Europe/Berlin. UTC if it is left out.",
        },
      },
    },
  },
  isIdempotent: true,
  isOptional: true,
  timeout: Duration.seconds(5),
  run: ({ arguments: { time_zone: given } }) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const zone = typeof given === "string" && given.trim() !== "" ? given.trim() : "UTC"
      return Option.match(formatOf(zone), {
        onNone: () => ({
          output: `There is no time zone ${JSON.stringify(zone.slice(0, 100))}. Use an IANA name such as Europe/Berlin.`,
          isError: true,
        }),
        onSome: (format) => ({ output: `${format.format(now)} (${zone})`, isError: false }),
      })
    }),
}
