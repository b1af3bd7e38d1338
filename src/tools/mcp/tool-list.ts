import { Option, Schema } from "effect"
import type { Outbound } from "../../outbound/outbound.ts"
import { parseJson } from "../../providers/json.ts"
import { countedBody, withBoundedAnswers } from "./answer-bound.ts"
import type { McpTool } from "./session.ts"

/** Of one list. An agent is offered 128 of a server at most, which its filter may choose from more. */
export const maxTools = 1000
const maxPages = 16

/** Of all pages of one list together: parsing 2 MB takes about 20 ms. */
const maxListBytes = 2 * 1024 ** 2

/** The tools are checked one by one, so that a malformed one takes no other with it. */
const Page = Schema.standardSchemaV1(
  Schema.Struct({
    tools: Schema.Array(Schema.Unknown),
    nextCursor: Schema.optional(Schema.NullOr(Schema.String)),
  }),
)

const ListedTool = Schema.Struct({
  name: Schema.NonEmptyString,
  description: Schema.optional(Schema.String),
  inputSchema: Schema.Struct(
    { type: Schema.Literal("object") },
    Schema.Record({ key: Schema.String, value: Schema.Unknown }),
  ),
})

const decodeTool = Schema.decodeUnknownOption(ListedTool)

const toTool = (listed: unknown): Option.Option<McpTool> =>
  Option.map(decodeTool(listed), ({ name, description, inputSchema }) => ({
    name,
    description,
    parameters: inputSchema,
  }))

const Listing = Schema.Struct({ method: Schema.Literal("tools/list") })

/** Whether the body of a request asks for a page of tools. */
const isListing = (body: unknown): boolean =>
  typeof body === "string" &&
  body.includes("tools/list") &&
  Option.exists(parseJson(body), Schema.is(Listing))

type RequestPage = (params: { readonly cursor?: string }, schema: typeof Page) => Promise<typeof Page.Type>

/**
 * Reads the tools of a server, within bounds: a server may answer pages without end. `fetch` is for all its requests, and
 * bounds their answers. Malformed tools are left out, and so is what stands beyond the bounds.
 */
export const makeToolList = (fetch: typeof Outbound.Service.fetch) => {
  let bytesLeft = maxListBytes

  const boundedFetch = withBoundedAnswers(fetch)
  const countingFetch: typeof Outbound.Service.fetch = async (url, init) => {
    if (!isListing(init?.body)) return boundedFetch(url, init)
    return countedBody(await fetch(url, init), maxListBytes, (chunk) => {
      bytesLeft -= chunk.length
      return maxListBytes - bytesLeft
    })
  }

  const read = async (request: RequestPage): Promise<ReadonlyArray<McpTool>> => {
    bytesLeft = maxListBytes
    const tools: Array<McpTool> = []
    let cursor: string | undefined
    for (let page = 0; page < maxPages && tools.length < maxTools; page += 1) {
      const found = await request(cursor === undefined ? {} : { cursor }, Page).catch((error) => {
        if (page === 0 || bytesLeft >= 0) throw error
        return { tools: [], nextCursor: undefined }
      })
      for (const listed of found.tools.slice(0, maxTools - tools.length)) {
        const tool = toTool(listed)
        if (Option.isSome(tool)) tools.push(tool.value)
      }
      if (typeof found.nextCursor !== "string") break
      cursor = found.nextCursor
    }
    return tools
  }

  return { fetch: countingFetch, read }
}
