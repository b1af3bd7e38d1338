/** SHA-256 of bytes, or of the UTF-8 of a text. */
export const sha256 = (data: string | Uint8Array, encoding: "hex" | "base64" = "hex"): string =>
  new Bun.CryptoHasher("sha256").update(data).digest(encoding)

/** SHA-256 of a file, as hex. Rejects if it cannot be read. Between chunks, other code runs. */
export const hashFile = async (path: string, signal?: AbortSignal): Promise<string> => {
  const hasher = new Bun.CryptoHasher("sha256")
  for await (const chunk of Bun.file(path).stream()) {
    signal?.throwIfAborted()
    hasher.update(chunk)
  }
  return hasher.digest("hex")
}
