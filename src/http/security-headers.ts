import { Elysia } from "elysia"

/**
 * What browsers are told of every answer: what it says it is, it is; and as a document it may do nothing. Routes that
 * answer with a document say for themselves what that may do. Transport security is for whoever ends TLS to ask for.
 */
export const securityHeaders = new Elysia({ name: "security-headers" }).onRequest(({ set }) => {
  Object.assign(set.headers, {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  })
})
