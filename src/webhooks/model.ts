import { Array as Arr, Duration, Schema } from "effect"
import { rotationOf } from "../accounts/model.ts"
import { DeliveryId, iso8601, isTime, Time, WebhookId } from "../schema.ts"
import { EventType } from "./events.ts"

const everyEvent = EventType.literals

/** Also of a browser's address bar. */
const maxUrlLength = 2048

/** What can be judged without the address of the host: that is checked at each request. */
const urlFault = (text: string): string | undefined => {
  if (text.length > maxUrlLength) return `must have at most ${maxUrlLength} characters`
  if (!URL.canParse(text) || !text.isWellFormed() || /\p{Cc}/u.test(text)) return "must be a URL"
  const { protocol, username, password, hash } = new URL(text)
  if (protocol !== "https:" && protocol !== "http:") return "must start with https://"
  if (username !== "" || password !== "") return "must have no user name and password"
  return hash === "" ? undefined : "must have no fragment"
}

const Url = Schema.String.annotations({ message: () => "must be a string" }).pipe(
  Schema.filter(urlFault, {
    jsonSchema: {
      type: "string",
      format: "uri",
      maxLength: maxUrlLength,
      description:
        "Where events are sent to: `https://`. The rules for outgoing requests apply at each attempt. Redirects are not followed.",
    },
  }),
)

const listedEvents = everyEvent.join(", ")
const isEvent = Schema.is(EventType)

/** Longer names are cut in the error. */
const maxShownName = 40

const eventsFault = (events: ReadonlyArray<string>): string | undefined => {
  if (events.length === 0) return `must have at least one of ${listedEvents}`
  const wrong = events.find((event) => !isEvent(event))
  return wrong === undefined
    ? undefined
    : `${JSON.stringify([...wrong].slice(0, maxShownName).join(""))} is no event; the events are ${listedEvents}`
}

const Events = Schema.Array(Schema.String).pipe(
  Schema.annotations({
    message: () => ({ message: `must be a list of ${listedEvents}`, override: true }),
  }),
  Schema.filter(eventsFault, {
    jsonSchema: {
      type: "array",
      minItems: 1,
      items: { type: "string", enum: [...everyEvent] },
      description: "The types of the events that are sent.",
    },
  }),
)

const flag = (description: string) =>
  Schema.Boolean.annotations({ message: () => "must be true or false", description })

const fields = {
  transcripts: Schema.optional(
    flag("Events of turns have what was said, as `transcript` and `response`. False by default."),
  ),
  enabled: Schema.optional(flag("Events are recorded and sent. True by default.")),
}

/** The body of a request that creates a webhook. */
export const NewWebhook = Schema.Struct({ url: Url, events: Events, ...fields }).annotations({
  message: () => "must be an object",
})
export type NewWebhook = typeof NewWebhook.Type

/** The body of a request that changes one. */
export const WebhookChanges = Schema.Struct({
  url: Schema.optional(Url),
  events: Schema.optional(Events),
  ...fields,
}).annotations({ message: () => "must be an object" })
export type WebhookChanges = typeof WebhookChanges.Type

/** The body of a request for a new secret. */
export const SecretRotation = rotationOf("secret", Duration.toSeconds(Duration.days(1)))

/** As its user sees it, without the secret. */
export const Webhook = Schema.Struct({
  id: WebhookId,
  url: Schema.String,
  events: Schema.Array(Schema.String),
  transcripts: Schema.Boolean,
  enabled: Schema.Boolean,
  disabledReason: Schema.NullOr(Schema.Literal("gone", "failing")).annotations({
    description:
      "Why the service disabled it. `gone`: the endpoint answered 410. `failing`: every attempt failed for 3 days. Otherwise null.",
  }),
  failingSince: Schema.NullOr(Time).annotations({
    description: "The first failed attempt after the last one that succeeded. Null after a success.",
  }),
  oldSecretsExpireAt: Schema.NullOr(Time).annotations({
    description: "Until then, secrets that were rotated sign too. Null: only the newest one signs.",
  }),
  createdAt: Time,
  updatedAt: Time,
})
export type Webhook = typeof Webhook.Type

export const DeliveryState = Schema.Literal("pending", "delivered", "failed")

/** An event for one webhook, as the log shows it. */
export const Delivery = Schema.Struct({
  id: DeliveryId.annotations({
    description: "The same as in the header `webhook-id`, in every attempt and replay.",
  }),
  type: Schema.String,
  occurredAt: Time.annotations({ description: "The time of the event." }),
  data: Schema.Record({ key: Schema.String, value: Schema.Unknown }).annotations({
    description: "As sent, without what was said.",
  }),
  state: DeliveryState.annotations({
    description: "`failed`: no other attempt follows, unless it is replayed.",
  }),
  attempts: Schema.Int,
  attemptedAt: Schema.NullOr(Time).annotations({ description: "The time of the last attempt." }),
  nextAttemptAt: Schema.NullOr(Time).annotations({ description: "Null if none follows." }),
  status: Schema.NullOr(Schema.Int).annotations({ description: "The status of the last answer." }),
  answer: Schema.NullOr(Schema.String).annotations({
    description: "The first 500 characters of the last answer.",
  }),
  error: Schema.NullOr(Schema.String).annotations({
    description: "Why the last attempt has no answer, or why none was made.",
  }),
})
export type Delivery = typeof Delivery.Type

const GivenTime = (description: string) =>
  Schema.String.pipe(
    Schema.filter(isTime),
    Schema.transform(Schema.DateFromSelf, {
      strict: true,
      decode: (text) => new Date(text),
      encode: (time) => time.toISOString(),
    }),
  ).annotations({
    message: () => ({ message: "must be a time in ISO 8601, such as 2026-01-31T12:00:00Z", override: true }),
    jsonSchema: { type: "string", description, pattern: iso8601.source },
  })

/** The body of a request that replays the deliveries of a range of time. */
export const ReplayRange = Schema.Struct({
  from: GivenTime("Of the event. A day or a time, in ISO 8601."),
  to: Schema.optionalWith(GivenTime("Only earlier events. Now by default."), { as: "Option" }),
  state: Schema.optionalWith(
    DeliveryState.annotations({
      description:
        "Which deliveries are replayed. `pending`: those that failed and whose next attempt is over a minute away. They are sent at once.",
      message: () => ({ message: "must be failed, delivered or pending", override: true }),
    }),
    { default: () => "failed" as const },
  ),
}).annotations({ message: () => "must be an object" })
export type ReplayRange = typeof ReplayRange.Type

/** Each once, in the order of the documentation. */
export const orderedEvents = (events: ReadonlyArray<string>): ReadonlyArray<string> =>
  Arr.filter(everyEvent, (event) => events.includes(event))
