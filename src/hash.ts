/** SHA-256 of bytes, or of the UTF-8 of a text. */
export const sha256 = (data: string | Uint8Array, encoding: "hex" | "base64" = "hex"): string =>
  new Bun.CryptoHasher("sha256").update(data).digest(encoding)

/** A way to hash, and to write the hash. */
export interface HashFormat {
  readonly algorithm: "sha256" | "sha512"
  readonly encoding: "hex" | "base64"
}

/** The hash of a file, SHA-256 as hex by default. Rejects if it cannot be read. Between chunks, other code runs. */
export const hashFile = async (
  path: string,
  { algorithm, encoding }: HashFormat = { algorithm: "sha256", encoding: "hex" },
): Promise<string> => {
  const hasher = new Bun.CryptoHasher(algorithm)
  for await (const chunk of Bun.file(path).stream()) hasher.update(chunk)
  return hasher.digest(encoding)
}
