import { Data, Effect, ParseResult, Schema } from "effect"

/** A request that the engines refuse, in the terms of OpenAI's error object. */
export class RequestRefused extends Data.TaggedError("RequestRefused")<{
  readonly status: 400 | 404 | 405
  readonly message: string
  readonly param: string | null
  readonly code: string | null
}> {}

export const refuse = (message: string, param: string | null = null, code: string | null = null) =>
  new RequestRefused({ status: 400, message, param, code })

/** OpenAI's error envelope, as its SDKs read it. */
export const errorResponse = (
  status: number,
  { message, param, code }: Pick<RequestRefused, "message" | "param" | "code">,
) => {
  const type = status < 500 ? "invalid_request_error" : "server_error"
  return Response.json({ error: { message, type, param, code } }, { status })
}

/** Reads a JSON body; what is wrong with it names its first field, as OpenAI does. */
export const readJson = <A, I>(request: Request, schema: Schema.Schema<A, I>) =>
  Effect.tryPromise({
    try: (): Promise<unknown> => request.json(),
    catch: () => refuse("We could not parse the JSON body of your request."),
  }).pipe(
    Effect.flatMap(Schema.decodeUnknown(schema)),
    Effect.catchTag("ParseError", (error) => {
      const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
      const param = issue?.path.map(String).join(".") || null
      return refuse(
        `Invalid value${param === null ? "" : ` for '${param}'`}: ${issue?.message ?? ""}`,
        param,
        "invalid_value",
      )
    }),
  )

/** A body that ends cleanly only if the stream did: a failure breaks the connection off. */
export const sse = (body: ReadableStream<Uint8Array>) =>
  new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-cache" } })
