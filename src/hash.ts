/** SHA-256 of bytes, or of the UTF-8 of a text. */
export const sha256 = (data: string | Uint8Array, encoding: "hex" | "base64" = "hex"): string =>
  new Bun.CryptoHasher("sha256").update(data).digest(encoding)
