import { Schema } from "effect"

/** A time; in JSON as ISO 8601 in UTC. */
export const Time = Schema.Date.annotations({ jsonSchema: { type: "string", format: "date-time" } })
