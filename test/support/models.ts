/** A small model for a folder of models. */
import { sha256 } from "../../src/hash.ts"
import type { FileModel, ModelFile } from "../../src/models/manifest.ts"

/** Bytes that differ at every place, so that a wrong offset changes the hash. */
export const bytesOf = (size: number, seed = 1): Uint8Array<ArrayBuffer> => {
  let state = seed
  return Uint8Array.from({ length: size }, () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return state >> 16
  })
}

/** A file of the manifest with these bytes, from these URLs. */
export const fileOf = (
  path: string,
  bytes: Uint8Array,
  ...urls: readonly [string, ...string[]]
): ModelFile => {
  const [first, ...more] = urls
  return {
    path,
    size: bytes.length,
    sha256: sha256(bytes),
    sources: [{ url: first }, ...more.map((url) => ({ url }))],
  }
}

/** A model with these files. */
export const modelOf = (files: FileModel["files"], name = "small"): FileModel => ({
  name,
  description: "A model for tests.",
  role: "stt",
  loader: "moonshine",
  version: "1",
  isDefault: false,
  languages: ["en"],
  licence: "MIT",
  attribution: "The authors of the tests",
  needs: { cores: 1, memoryMb: 1 },
  files,
})
