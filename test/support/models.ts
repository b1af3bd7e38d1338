/** A folder of models, and a small model for it. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { sha256 } from "../../src/hash.ts"
import type { FileModel, ModelFile } from "../../src/models/manifest.ts"

/** A new folder that is removed when the process ends. */
export const tempFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "voice-agent-models-"))
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }))
  return folder
}

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
