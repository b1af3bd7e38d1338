/** Of a route that reads no body. Otherwise Elysia would parse an unexpected one, and refuse what it cannot parse. */
export const noBody = { parse: () => null }

/** The response that has none. */
export const noContent = () => new Response(null, { status: 204 })
