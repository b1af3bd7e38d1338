/** An event for the client, without its id. */
export interface ServerEvent {
  readonly type: string
  readonly response_id?: string
  readonly [field: string]: unknown
}

/** The event as JSON text, with a new random id. */
export const encodeServerEvent = (event: ServerEvent): string =>
  JSON.stringify({ event_id: `event_${crypto.randomUUID().replaceAll("-", "").slice(0, 21)}`, ...event })
