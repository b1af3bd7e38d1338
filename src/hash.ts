/** SHA-256 of bytes, or of the UTF-8 of a text. */
export const sha256 = (data: string | Uint8Array, encoding: "hex" | "base64" = "hex"): string =>
  new Bun.CryptoHasher("sha256").update(data).digest(encoding)

/** A way to hash, and to write the hash. */
export interface HashFormat {
  readonly algorithm: "sha256" | "sha512"
  readonly encoding: "hex" | "base64"
}

/**
 * Updates a hasher with a file. Other code runs between chunks of at most 512 KB, which take half a millisecond: chunks of
 * a cached file alone would resolve in microtasks, and hold up every timer and socket until the end of the file.
 */
export const hashInto = async (hasher: Bun.CryptoHasher, path: string): Promise<void> => {
  for await (const chunk of Bun.file(path).stream()) {
    hasher.update(chunk)
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
}

/** The hash of a file, SHA-256 as hex by default. Rejects if it cannot be read. Other code runs meanwhile. */
export const hashFile = async (
  path: string,
  { algorithm, encoding }: HashFormat = { algorithm: "sha256", encoding: "hex" },
): Promise<string> => {
  const hasher = new Bun.CryptoHasher(algorithm)
  await hashInto(hasher, path)
  return hasher.digest(encoding)
}
