/** A server that speaks a provider's dialect of OpenAI's API over real HTTP. */
import { encodeSpeech, speechOf } from "../upstream-audio.ts"

export type Stage = "stt" | "llm" | "tts"

/** A request, as the server reads it. */
export interface Asked {
  readonly stage: Stage
  /** Of the JSON body or the form, without the file. */
  readonly fields: Readonly<Record<string, unknown>>
  readonly headers: Headers
  readonly url: URL
}

export interface Said {
  readonly status: number
  /** JSON, or text as it is. */
  readonly body: unknown
}

export interface Dialect {
  /** The path of every route that exists. */
  readonly routes: Readonly<Partial<Record<Stage | "models", string>>>
  /** The query that every route requires. */
  readonly query?: Readonly<Record<string, string>>
  /** The header with the key, lower case. Absent: `authorization`, as a bearer token. */
  readonly keyHeader?: string
  /** False: the server has no keys, and accepts any. */
  readonly hasKeys?: boolean
  /** The answer to the route `models`. */
  readonly models?: unknown
  /** Refuses a request; undefined: answers it. */
  readonly refuse?: (asked: Asked) => Said | undefined
  /** The text of an answer to chat, event by event; absent: OpenAI's. */
  readonly chatEvents?: ReadonlyArray<string>
}

export interface DialectServer {
  readonly origin: string
  /** The requests so far, refused ones included. */
  readonly asked: ReadonlyArray<Asked>
  /** The requests that were refused. */
  readonly refused: ReadonlyArray<Asked>
  /** Requests for routes that do not exist, and without the key or the query. */
  readonly strays: ReadonlyArray<string>
  readonly stop: () => Promise<void>
}

export const transcript = "What is the capital of France?"
export const reply = "The capital of France is Paris."

const chunk = (delta: object, finish_reason: string | null = null) =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}`

export const chatEvents = [chunk({ content: reply }), chunk({}, "stop"), "data: [DONE]"]

const answers: Record<Stage, (asked: Asked, dialect: Dialect) => Response | Promise<Response>> = {
  llm: ({ fields }, dialect) =>
    fields.stream !== true
      ? Response.json({ choices: [{ index: 0, message: { content: reply }, finish_reason: "stop" }] })
      : new Response((dialect.chatEvents ?? chatEvents).map((event) => `${event}\n\n`).join(""), {
          headers: { "content-type": "text/event-stream" },
        }),
  stt: ({ fields }) =>
    fields.response_format === "text" ? new Response(`${transcript}\n`) : Response.json({ text: transcript }),
  tts: async ({ fields }) => {
    const { response_format: format } = fields
    const known = format === "pcm" || format === "wav" ? format : "mp3"
    const audio = await encodeSpeech(speechOf({ seconds: 0.5 }, 0), known)
    return new Response(audio, {
      headers: { "content-type": known === "mp3" ? "audio/mpeg" : `audio/${known}` },
    })
  },
}

const routes = ["stt", "llm", "tts", "models"] as const

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const readFields = async (request: Request, stage: Stage): Promise<Record<string, unknown>> => {
  if (stage !== "stt") {
    const body: unknown = await request.json()
    return isRecord(body) ? body : {}
  }
  const form = await request.formData()
  return Object.fromEntries([...form].filter(([, value]) => typeof value === "string"))
}

export const startDialect = (dialect: Dialect): DialectServer => {
  const asked: Array<Asked> = []
  const refused: Array<Asked> = []
  const strays: Array<string> = []
  const stray = (status: number, path: string) => {
    strays.push(`${status} ${path}`)
    return Response.json({ error: { message: `${status}` } }, { status })
  }
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const url = new URL(request.url)
      const path = `${url.pathname}${url.search}`
      const route = routes.find((name) => dialect.routes[name] === url.pathname)
      const hasQuery = Object.entries(dialect.query ?? {}).every(
        ([name, value]) => url.searchParams.get(name) === value,
      )
      if (route === undefined || !hasQuery) return stray(404, path)
      const key = request.headers.get(dialect.keyHeader ?? "authorization")
      const expected = dialect.keyHeader === undefined ? /^Bearer sk-/ : /^sk-/
      if (dialect.hasKeys !== false && !expected.test(key ?? "")) return stray(401, path)
      if (route === "models") return Response.json(dialect.models ?? { object: "list", data: [] })
      const one = { stage: route, fields: await readFields(request, route), headers: request.headers, url }
      asked.push(one)
      const said = dialect.refuse?.(one)
      if (said === undefined) return answers[route](one, dialect)
      refused.push(one)
      return typeof said.body === "string"
        ? new Response(said.body, { status: said.status })
        : Response.json(said.body, { status: said.status })
    },
  })
  return { origin: server.url.origin, asked, refused, strays, stop: () => server.stop(true) }
}
