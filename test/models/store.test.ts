import { describe, expect, test } from "bun:test"
import { mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { Effect, Either, Option } from "effect"
import { sha256 } from "../../src/hash.ts"
import { findFileModel, isFileModel, manifest, sizeOf } from "../../src/models/manifest.ts"
import {
  allInstalled,
  folderOf,
  includedFolder,
  inStore,
  installed,
  libraryOf,
  modelsFolder,
  presentModels,
  removeModel,
  verifiedFolder,
  verifyFiles,
} from "../../src/models/store.ts"
import { bytesOf, fileOf, modelOf } from "../support/models.ts"
import { tempFolder } from "../support/temp-folders.ts"

const encoder = bytesOf(1000, 1)
const tokens = bytesOf(10, 2)
const model = modelOf([
  fileOf("encoder.onnx", encoder, "http://127.0.0.1:1/encoder.onnx"),
  fileOf("sub/tokens.txt", tokens, "http://127.0.0.1:1/tokens.txt"),
])

/** A library with the model in its first folder. */
const withModel = () => {
  const folders = [tempFolder("models"), tempFolder("models")] as const
  const own = folderOf(folders[0], model)
  for (const [path, bytes] of [
    ["encoder.onnx", encoder],
    ["sub/tokens.txt", tokens],
  ] as const) {
    mkdirSync(dirname(join(own, path)), { recursive: true })
    writeFileSync(join(own, path), bytes)
  }
  return { library: { folders, manifest: [model] }, own }
}

const find = (library: ReturnType<typeof withModel>["library"], name = "small") =>
  Effect.runPromise(Effect.map(installed(library, name), Option.getOrUndefined))

const verify = async (library: ReturnType<typeof withModel>["library"]) => {
  const found = await find(library)
  if (found === undefined) return "not installed"
  const result = await Effect.runPromise(Effect.either(verifyFiles(found)))
  return Either.isLeft(result) ? result.left.message : "well"
}

describe("manifest", () => {
  test("names are unique and files have hashes", () => {
    expect(new Set(manifest.map(({ name }) => name)).size).toBe(manifest.length)
    for (const each of manifest.filter(isFileModel)) {
      expect(new Set(each.files.map(({ path }) => path)).size).toBe(each.files.length)
      expect(each.files.every(({ sha256 }) => sha256 !== undefined)).toBe(true)
      expect(sizeOf(each)).toBeGreaterThan(1_000_000)
    }
  })

  test("the set-up has a recognizer and a voice activity detector", () => {
    const roles = manifest.filter(isFileModel).filter(({ isDefault }) => isDefault)
    expect(roles.map(({ role }) => role).toSorted()).toEqual(["stt", "vad"])
  })

  test("NOTICE names every model with its licence", async () => {
    const notice = (await Bun.file(join(import.meta.dir, "../../NOTICE")).text()).replaceAll(/\s+/g, " ")
    for (const { name, licence, attribution } of manifest) {
      expect(notice).toContain(` ${name} ${licence} ${attribution}`)
    }
  })

  test("included files are what the manifest says", async () => {
    for (const { files } of manifest.filter(isFileModel)) {
      for (const file of files) {
        for (const source of file.sources) {
          if (!("included" in source)) continue
          const path = join(import.meta.dir, "../../src/models/files", source.included)
          const bytes = Bun.zstdDecompressSync(await Bun.file(path).bytes())
          expect([bytes.length, sha256(bytes)]).toEqual([file.size, file.sha256 ?? ""])
        }
      }
    }
  })
})

describe("store", () => {
  test("a complete model is installed", async () => {
    const { library, own } = withModel()
    expect((await find(library))?.folder).toBe(own)
    expect(await verify(library)).toBe("well")
    expect(await Effect.runPromise(allInstalled(library))).toHaveLength(1)
  })

  test("an included model is found", async () => {
    const { library } = withModel()
    const swapped = { ...library, folders: [library.folders[1], library.folders[0]] as const }
    expect(await find(swapped)).toBeDefined()
  })

  test("a missing or cut file is not installed", async () => {
    for (const spoil of [
      (own: string) => rmSync(join(own, "sub/tokens.txt")),
      (own: string) => truncateSync(join(own, "encoder.onnx"), 999),
      (own: string) => writeFileSync(join(own, "encoder.onnx"), bytesOf(1001)),
      (own: string) => rmSync(own, { recursive: true }),
    ]) {
      const { library, own } = withModel()
      spoil(own)
      expect(await find(library)).toBeUndefined()
      const [present] = await Effect.runPromise(presentModels(library))
      expect(
        present === undefined || Either.isLeft(await Effect.runPromise(Effect.either(verifyFiles(present)))),
      ).toBe(true)
    }
  })

  test("other bytes of the same size are damage", async () => {
    const { library, own } = withModel()
    writeFileSync(join(own, "encoder.onnx"), bytesOf(1000, 3))
    expect(await verify(library)).toBe(
      "The model small is damaged: encoder.onnx has another SHA-256 than it should have. Run: ./voice-agent models pull small",
    )
  })

  test("a name outside of the manifest is not installed", async () => {
    const { library } = withModel()
    for (const name of ["large", "", "../small", "constructor"])
      expect(await find(library, name)).toBeUndefined()
  })

  test("remove deletes all versions", async () => {
    const { library } = withModel()
    const remove = (name: string) =>
      Effect.runPromise(Effect.either(removeModel(library.folders[0], library.manifest, name, Effect.void)))
    expect(await remove("small")).toEqual(Either.right(true))
    expect(await find(library)).toBeUndefined()
    expect(await remove("small")).toEqual(Either.right(false))
    expect(Either.isLeft(await remove(".."))).toBe(true)
  })

  test("the service looks in DATA_DIR first", () => {
    const library = libraryOf("/data")
    expect(library.folders).toEqual([modelsFolder("/data"), includedFolder])
    expect(modelsFolder("/data")).toBe("/data/models")
    expect(Option.isSome(findFileModel(library.manifest, "moonshine-tiny-en"))).toBe(true)
  })
})

describe("a damaged copy", () => {
  const copies = (first: Uint8Array, second: Uint8Array) => {
    const { library, own } = withModel()
    const other = folderOf(library.folders[1], model)
    mkdirSync(join(other, "sub"), { recursive: true })
    writeFileSync(join(other, "sub/tokens.txt"), tokens)
    writeFileSync(join(own, "encoder.onnx"), first)
    writeFileSync(join(other, "encoder.onnx"), second)
    return { library, own, other }
  }
  const wrong = bytesOf(1000, 3)
  const folderIn = (library: ReturnType<typeof withModel>["library"]) =>
    Effect.runPromise(Effect.either(verifiedFolder(library, model)))

  test("does not hide a good one", async () => {
    const { library, other } = copies(wrong, encoder)
    expect(await folderIn(library)).toEqual(Either.right(other))
  })

  test("behind a good one is not looked at", async () => {
    const { library, own } = copies(encoder, wrong)
    expect(await folderIn(library)).toEqual(Either.right(own))
  })

  test("and another one, or none at all, fail with what to do", async () => {
    const two = await folderIn(copies(wrong, wrong).library)
    expect(Either.isLeft(two) && two.left.message).toContain("encoder.onnx has another SHA-256")
    const none = await folderIn({ folders: [tempFolder("models"), tempFolder("models")], manifest: [model] })
    expect(Either.isLeft(none) && none.left.message).toContain("Run: ./voice-agent models pull small")
  })
})

test.each([
  ["ENOSPC", "DiskFull", "Free space there"],
  ["EDQUOT", "DiskFull", "Free space there"],
  ["EROFS", "StoreUnusable", "Make it writable"],
])("a folder that answers %s", async (code, tag, advice) => {
  const full = inStore("/models", () => Promise.reject(Object.assign(new Error(code), { code })))
  const error = await Effect.runPromise(Effect.flip(full))
  expect<string>(error._tag).toBe(tag)
  expect(error.message).toContain(advice)
})
