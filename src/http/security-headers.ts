import { Elysia } from "elysia"

/**
 * Security headers of every response: no sniffing of its type, and no rights for it as a document. Routes that send a
 * document set its Content-Security-Policy themselves. The proxy that terminates TLS sets Strict-Transport-Security.
 */
export const securityHeaders = new Elysia({ name: "security-headers" }).onRequest(({ set }) => {
  Object.assign(set.headers, {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  })
})
