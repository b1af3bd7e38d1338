/** An Idempotency-Key. Not crypto.randomUUID: pages on a plain http:// address do not have it. */
export const newKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  )
