import { afterAll, beforeEach, describe, expect, test } from "bun:test"
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { pathToFileURL } from "node:url"
import { Effect, Either, Fiber, Redacted } from "effect"
import { sha256 } from "../../src/hash.ts"
import { brokeOff } from "../../src/models/attempt.ts"
import { download, type Target } from "../../src/models/download.ts"
import type { Location } from "../../src/models/source.ts"
import { fastClock } from "../support/fast-clock.ts"
import {
  cutAfter,
  type FileServer,
  inPieces,
  instead,
  stallAfter,
  startFileServer,
  status,
} from "../support/file-server.ts"
import { bytesOf } from "../support/models.ts"
import { tempFolder } from "../support/temp-folders.ts"

const size = 300_000
const file = bytesOf(size)
const other = bytesOf(size, 7)
const long = bytesOf(690_000, 8)

const server: FileServer = await startFileServer({ "/file": file })
const foreign: FileServer = await startFileServer({ "/file": file })
afterAll(() => Promise.all([server.stop(), foreign.stop()]))
beforeEach(() => {
  for (const each of [server, foreign]) {
    each.script.length = 0
    each.files.clear()
    each.files.set("/file", file)
  }
})

const targetIn = (folder: string, expected: string | undefined = sha256(file)): Target => ({
  path: join(folder, "file"),
  size,
  digest: { algorithm: "sha256", encoding: "hex", expected },
})

const locationOf = (path = "/file", more: Partial<Location> = {}): Location => ({
  url: `${server.url}${path}`,
  advice: "set a mirror",
  ...more,
})

/** Downloads on a clock that makes pauses of seconds short. Returns the error, or nothing. */
const run = async (target: Target, location = locationOf(), onProgress = (_: number) => {}) => {
  const before = server.requests.length
  const pauses: Array<string> = []
  const result = await Effect.runPromise(
    Effect.either(
      download(location, target, onProgress, (reason, seconds) => pauses.push(`${reason}: ${seconds} s`)),
    ).pipe(Effect.withClock(fastClock(200))),
  )
  return {
    error: Either.isLeft(result) ? result.left : undefined,
    hash: Either.isRight(result) ? result.right : undefined,
    requests: server.requests.slice(before),
    pauses,
  }
}

const namesIn = (target: Target) => readdirSync(dirname(target.path)).toSorted()

/** The file is right, and nothing else is left. */
const expectWell = (target: Target) => {
  expect(namesIn(target)).toEqual(["file"])
  expect(sha256(readFileSync(target.path))).toBe(sha256(file))
}

/** The partial file of an earlier run. */
const leave = (target: Target, bytes: Uint8Array, etag?: string) => {
  writeFileSync(`${target.path}.download`, bytes)
  if (etag !== undefined) writeFileSync(`${target.path}.etag`, `${server.url}/file\n${etag}`)
}

const etag = `"${sha256(file).slice(0, 16)}"`

describe("whole", () => {
  test("a file", async () => {
    const target = targetIn(tempFolder("models"))
    const seen: Array<number> = []
    const { error, hash, requests } = await run(target, locationOf(), (received) => seen.push(received))
    expect([error, hash, requests.length]).toEqual([undefined, sha256(file), 1])
    expectWell(target)
    expect(seen[0]).toBe(0)
    expect(seen.at(-1)).toBe(size)
    expect(seen).toEqual(seen.toSorted((a, b) => a - b))
  })

  test("an empty file", async () => {
    const target = { ...targetIn(tempFolder("models"), sha256("")), size: 0 }
    server.files.set("/file", new Uint8Array())
    expect((await run(target)).error).toBeUndefined()
    expect(readFileSync(target.path).length).toBe(0)
  })

  test("a slow file", async () => {
    const target = targetIn(tempFolder("models"))
    server.script.push(inPieces(1000))
    expect((await run(target)).requests).toHaveLength(1)
    expectWell(target)
  })

  test("a local file", async () => {
    const folder = tempFolder("models")
    writeFileSync(join(folder, "a file #1"), file)
    const target = targetIn(tempFolder("models"))
    const local = { url: pathToFileURL(join(folder, "a file #1")).href, advice: "" }
    expect((await run(target, local)).error).toBeUndefined()
    expectWell(target)
    const missing = await run(targetIn(tempFolder("models")), {
      url: `${local.url}x`,
      advice: "check --from",
    })
    expect(missing.error?._tag).toBe("SourceRefused")
    expect(missing.error?.message).toContain("a file #1x: there is no such file")
  })

  test("a local file that cannot be read is refused", () => {
    const denied = Object.assign(new Error("EACCES: permission denied, open '/mnt/file'"), { code: "EACCES" })
    const { error, isRetryable } = brokeOff({ url: "file:///mnt/file", advice: "or use --from" }, denied)
    expect([error._tag, isRetryable]).toEqual(["SourceRefused", false])
    expect(error.message).toBe(
      "/mnt/file: the file cannot be read (EACCES). Check the address, or use --from.",
    )
  })

  test("an unknown hash is returned", async () => {
    const target = {
      ...targetIn(tempFolder("models")),
      digest: { ...targetIn("").digest, expected: undefined },
    }
    expect((await run(target)).hash).toBe(sha256(file))
  })
})

describe("resume", () => {
  test("cut off at any byte", async () => {
    for (const cut of [0, 1, 4095, 65_536, 150_001, size - 1]) {
      const target = targetIn(tempFolder("models"))
      server.script.push(stallAfter(cut))
      const { error, requests } = await run(target, locationOf(), (received) => {
        if (received === cut) server.cut()
      })
      expect(error).toBeUndefined()
      expectWell(target)
      expect(requests.slice(0, 2).map(({ range, ifRange }) => [range, ifRange])).toEqual([
        [undefined, undefined],
        cut === 0 ? [undefined, undefined] : [`bytes=${cut}-`, etag],
      ])
    }
  })

  test("cut off many times with progress", async () => {
    const target: Target = { ...targetIn(tempFolder("models"), sha256(long)), size: long.length }
    server.files.set("/file", long)
    // More often than would be tried without progress.
    server.script.push(...Array.from({ length: 9 }, () => stallAfter(70_000)))
    const { error, requests } = await run(target, locationOf(), (received) => {
      if (received % 70_000 === 0 && received > 0) server.cut()
    })
    expect([error, requests.length]).toEqual([undefined, 10])
    expect(sha256(readFileSync(target.path))).toBe(sha256(long))
  })

  test("a server that never sends more is given up", async () => {
    const target = targetIn(tempFolder("models"))
    server.script.push(...Array.from({ length: 20 }, () => cutAfter(10)))
    const { error, requests } = await run(target)
    expect(error?._tag).toBe("SourceUnreachable")
    expect(error?.message).toMatch(
      /^The download of [\d.:]+\/file broke off: \w+\. Run the command again; it goes on where it stopped\.$/,
    )
    expect(requests.length).toBeLessThan(8)
    expect(namesIn(target)).toEqual(["file.download", "file.etag"])
  })

  test("a later call goes on", async () => {
    const target = targetIn(tempFolder("models"))
    leave(target, file.subarray(0, 200_000), etag)
    const { requests } = await run(target)
    expect(requests.map(({ range, ifRange }) => ({ range, ifRange }))).toEqual([
      { range: "bytes=200000-", ifRange: etag },
    ])
    expectWell(target)
  })

  test("without an ETag the hash decides", async () => {
    const known = targetIn(tempFolder("models"))
    leave(known, file.subarray(0, 1000))
    expect((await run(known)).requests.map(({ range }) => range)).toEqual(["bytes=1000-"])
    expectWell(known)
    const unknown = { ...targetIn(tempFolder("models")), digest: { ...known.digest, expected: undefined } }
    leave(unknown, other.subarray(0, 1000))
    expect((await run(unknown)).requests.map(({ range }) => range)).toEqual([undefined])
    expectWell(unknown)
  })

  test("another ETag starts over", async () => {
    const target = targetIn(tempFolder("models"))
    leave(target, other.subarray(0, 1000), '"old"')
    expect((await run(target)).requests.map(({ range }) => range)).toEqual(["bytes=1000-"])
    expectWell(target)
  })

  test("an answer that does not fit starts over", async () => {
    const rest = file.subarray(1000)
    const range = (from: number) => ({ "content-range": `bytes ${from}-${size - 1}/${size}` })
    for (const misfit of [
      // If-Range is ignored, and the file is another.
      instead(other.subarray(1000), { ...range(1000), etag: '"new"' }, 206),
      // Another part than was asked for.
      instead(file.subarray(999), { ...range(999), etag }, 206),
      instead(rest, { etag }, 206),
      instead(rest, { etag, "content-range": `bytes 1000-${size - 1}/*` }, 206),
      status(416),
    ]) {
      const target = targetIn(tempFolder("models"))
      leave(target, file.subarray(0, 1000), etag)
      server.script.push(misfit)
      const { error, requests } = await run(target)
      expect([error, requests.map(({ range }) => range)]).toEqual([undefined, ["bytes=1000-", undefined]])
      expectWell(target)
    }
  })

  test("damaged bytes are found by the hash", async () => {
    for (const kept of [other.subarray(0, 1000), other, new Uint8Array([...file, 1])]) {
      const target = targetIn(tempFolder("models"))
      leave(target, kept, etag)
      expect((await run(target)).error).toBeUndefined()
      expectWell(target)
    }
  })

  test("a whole part needs no request", async () => {
    const target = targetIn(tempFolder("models"))
    leave(target, file, etag)
    expect((await run(target)).requests).toEqual([])
    expectWell(target)
  })

  test("an interruption keeps the part", async () => {
    const target = targetIn(tempFolder("models"))
    server.script.push(stallAfter(100_000))
    const arrived = Promise.withResolvers<void>()
    const fiber = Effect.runFork(
      download(locationOf(), target, (received) => {
        if (received > 50_000) arrived.resolve()
      }),
    )
    await arrived.promise
    await Effect.runPromise(Fiber.interrupt(fiber))
    const kept = readFileSync(`${target.path}.download`)
    expect(sha256(kept)).toBe(sha256(file.subarray(0, kept.length)))
    expect((await run(target)).requests.map(({ range }) => range)).toEqual([`bytes=${kept.length}-`])
    expectWell(target)
  })
})

describe("lies", () => {
  test("wrong bytes are not installed", async () => {
    server.files.set("/file", other)
    const target = targetIn(tempFolder("models"))
    const { error, requests } = await run(target)
    expect(error?._tag).toBe("WrongBytes")
    expect(error?.message).toContain("has another sha256 hash than it should have, so it was not installed")
    expect([requests.length, namesIn(target)]).toEqual([1, []])
  })

  test("another size", async () => {
    for (const [answer, how] of [
      [
        instead(file.subarray(1), { "content-length": `${size - 1}` }),
        `has ${size - 1} bytes instead of ${size}`,
      ],
      [instead(new Uint8Array(size + 1), { "content-length": `${size + 1}` }), `has ${size + 1} bytes`],
      [instead(new Uint8Array(size + 1), { "transfer-encoding": "chunked" }), `has more than ${size} bytes`],
      [instead(new TextEncoder().encode("<html>Sign in</html>"), { "content-length": "20" }), "has 20 bytes"],
    ] as const) {
      server.script.push(answer)
      const target = targetIn(tempFolder("models"))
      const { error, requests } = await run(target)
      expect([error?._tag, requests.length]).toEqual(["WrongBytes", 1])
      expect(error?.message).toContain(how)
      expect(existsSync(target.path)).toBe(false)
    }
  })

  test("a body that is longer than its size is not read to its end", async () => {
    server.script.push((_, answer) => {
      answer.writeHead(200, { "transfer-encoding": "chunked" })
      // Without an end: a client that waits for it hangs.
      answer.write(new Uint8Array(size + 1))
    })
    expect((await run(targetIn(tempFolder("models")))).error?._tag).toBe("WrongBytes")
  })

  test("a chunked body that ends early is tried again", async () => {
    server.script.push(instead(file.subarray(0, 100), { "transfer-encoding": "chunked" }))
    const target = targetIn(tempFolder("models"))
    expect((await run(target)).requests).toHaveLength(2)
    expectWell(target)
  })
})

describe("encodings", () => {
  test("a compressed body is decoded", async () => {
    const compressed = Bun.gzipSync(file)
    const encoded = { "content-encoding": "gzip", "content-length": `${compressed.length}`, etag }
    const target = targetIn(tempFolder("models"))
    server.script.push(instead(compressed, encoded))
    expect((await run(target)).error).toBeUndefined()
    expectWell(target)
    const resumed = targetIn(tempFolder("models"))
    leave(resumed, file.subarray(0, 1000), etag)
    const range = { "content-range": `bytes 1000-${size - 1}/${size}` }
    server.script.push(instead(compressed, { ...encoded, ...range }, 206))
    expect((await run(resumed)).requests.map(({ range }) => range)).toEqual(["bytes=1000-", undefined])
    expectWell(resumed)
  })
})

describe("refusals", () => {
  test("what is no URL", async () => {
    for (const url of ["", "registry.test/file", "http://", "http://[/file"]) {
      const { error } = await run(targetIn(tempFolder("models")), { url, advice: "set X" })
      expect(error?._tag).toBe("SourceRefused")
      expect(error?.message).toBe(`"${url}": this is no URL. Check the address, set X.`)
    }
    for (const url of ["user:secret@host/file", "http://user:secret@/file"]) {
      const { error } = await run(targetIn(tempFolder("models")), { url, advice: "" })
      expect(error?.message).not.toContain("secret")
    }
  })

  test("credentials of the URL", async () => {
    const { host } = new URL(server.url)
    const url = `http://us%40er:pass@${host}/file`
    const { error, requests } = await run(targetIn(tempFolder("models")), { url, advice: "" })
    expect([error, requests.map(({ authorization }) => authorization)]).toEqual([
      undefined,
      [`Basic ${btoa("us@er:pass")}`],
    ])
    server.script.push(status(401))
    expect((await run(targetIn(tempFolder("models")), { url, advice: "" })).error?.message).not.toContain(
      "pass",
    )
  })

  test("are final", async () => {
    for (const code of [400, 401, 403, 404, 410, 304]) {
      server.script.push(status(code))
      const { error, requests } = await run(targetIn(tempFolder("models")))
      expect([error?._tag, requests.length]).toEqual(["SourceRefused", 1])
      expect(error?.message).toContain(`status ${code}`)
      expect(error?.message).toContain("set a mirror")
    }
  })

  test("trouble is tried again", async () => {
    for (const code of [408, 429, 500, 502, 503]) {
      server.script.push(status(code, { "retry-after": "2" }), status(code))
      const target = targetIn(tempFolder("models"))
      expect((await run(target)).requests).toHaveLength(3)
      expectWell(target)
    }
  })

  test("trouble without end", async () => {
    server.script.push(...Array.from({ length: 20 }, () => status(503)))
    const { error, requests, pauses } = await run(targetIn(tempFolder("models")))
    expect([error?._tag, requests.length]).toEqual(["SourceRefused", 5])
    expect(error?.message).toEndWith(
      "/file: the server has trouble (status 503). Run the command again later, set a mirror.",
    )
    expect(pauses).toEqual([1, 2, 4, 8].map((s) => `the server has trouble (status 503): ${s} s`))
    server.script.length = 0
  })

  test.each([
    [429, "20", "gets too many requests (status 429) and asks to wait 20 seconds", [20, 20, 20]],
    [429, "60", "gets too many requests (status 429) and asks to wait 60 seconds", [60]],
    [503, "61", "has trouble (status 503) and asks to wait 61 seconds", []],
    [503, "300", "has trouble (status 503) and asks to wait 5 minutes", []],
    [429, "5401", "gets too many requests (status 429) and asks to wait 91 minutes", []],
    [429, "36000", "gets too many requests (status 429) and asks to wait 10 hours", []],
    [429, "9".repeat(20), "gets too many requests (status 429) and asks to wait a day or more", []],
    [429, "9".repeat(400), "gets too many requests (status 429) and asks to wait a day or more", []],
    [
      429,
      "Fri, 31 Dec 2999 23:59:59 GMT",
      "gets too many requests (status 429) and asks to wait a day or more",
      [],
    ],
    [503, "6m1s", "has trouble (status 503) and asks to wait 7 minutes", []],
    [429, "1.5", "gets too many requests (status 429) and asks to wait 2 seconds", [2, 2, 4, 8]],
    [429, "soon", "gets too many requests (status 429)", [1, 2, 4, 8]],
    [429, "-5", "gets too many requests (status 429)", [1, 2, 4, 8]],
    [503, "0", "has trouble (status 503)", [1, 2, 4, 8]],
  ])("status %d with Retry-After: %s", async (code, retryAfter, said, waits) => {
    server.script.push(...Array.from({ length: 20 }, () => status(code, { "retry-after": retryAfter })))
    const { error, requests, pauses } = await run(targetIn(tempFolder("models")))
    expect(error?.message).toEndWith(`/file: the server ${said}. Run the command again later, set a mirror.`)
    expect(requests.length).toBe(waits.length + 1)
    expect(pauses).toEqual(waits.map((seconds) => `the server ${said}: ${seconds} s`))
  })

  test("a server that falls silent", async () => {
    server.script.push(stallAfter(0), stallAfter(1000))
    const target = targetIn(tempFolder("models"))
    expect((await run(target)).requests).toHaveLength(3)
    expectWell(target)
  })

  test("no server", async () => {
    const gone = await startFileServer()
    await gone.stop()
    const { error } = await run(targetIn(tempFolder("models")), {
      url: `${gone.url}/file?key=secret`,
      advice: "set X",
    })
    expect(error?._tag).toBe("SourceUnreachable")
    expect(error?.message).toMatch(
      /^127\.0\.0\.1:\d+ could not be reached \(\w+\)\. Check the network, set X\.$/,
    )
  })
})

describe("redirects", () => {
  const to = (location: string) => status(302, { location })

  test("are followed", async () => {
    for (const first of [to("/file"), to(`${foreign.url}/file`), status(308, { location: "file" })]) {
      server.script.push(first)
      const target = targetIn(tempFolder("models"))
      expect((await run(target, locationOf("/start"))).error).toBeUndefined()
      expectWell(target)
    }
  })

  test("keep the range", async () => {
    const target = targetIn(tempFolder("models"))
    server.script.push(to(`${foreign.url}/file`))
    foreign.script.push(cutAfter(100_000))
    server.script.push(to(`${foreign.url}/file`))
    const before = foreign.requests.length
    expect((await run(target, locationOf("/start"))).error).toBeUndefined()
    expectWell(target)
    expect(foreign.requests.slice(before)).toHaveLength(2)
  })

  test("to another server lose the credentials", async () => {
    const before = foreign.requests.length
    server.script.push(to("/same"), to(`${foreign.url}/file`))
    const authorization = Redacted.make("Bearer secret")
    const { requests } = await run(targetIn(tempFolder("models")), locationOf("/start", { authorization }))
    expect(requests.map((request) => request.authorization)).toEqual(["Bearer secret", "Bearer secret"])
    expect(foreign.requests.slice(before).map((request) => request.authorization)).toEqual([undefined])
  })

  test("that lead nowhere", async () => {
    const folder = tempFolder("models")
    writeFileSync(join(folder, "file"), file)
    for (const [location, why] of [
      ["http://", "a redirect without a valid target"],
      ["", "redirect"],
      [pathToFileURL(join(folder, "file")).href, "a redirect from http:// to file://"],
      ["ftp://127.0.0.1/file", "a redirect from http:// to ftp://"],
    ] as const) {
      server.script.push(...Array.from({ length: 30 }, () => to(location)))
      const { error } = await run(targetIn(tempFolder("models")))
      server.script.length = 0
      expect(error?._tag).toBe("SourceRefused")
      expect(error?.message).toContain(why)
    }
  })

  test.skipIf(Bun.which("openssl") === null)("from https to http", async () => {
    const folder = tempFolder("models")
    const make = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 1 -subj /CN=localhost"
    expect(Bun.spawnSync(make.split(" "), { cwd: folder, stderr: "ignore" }).exitCode).toBe(0)
    const secure = Bun.serve({
      port: 0,
      tls: { key: Bun.file(join(folder, "key")), cert: Bun.file(join(folder, "cert")) },
      fetch: () => Response.redirect(`${server.url}/file`, 302),
    })
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0"
    const { error, requests } = await run(targetIn(tempFolder("models")), {
      url: `https://localhost:${secure.port}/file`,
      advice: "",
    })
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
    await secure.stop(true)
    expect(error?.message).toContain("a redirect from https:// to http://")
    expect(requests).toEqual([])
  })

  test("without end", async () => {
    server.script.push(...Array.from({ length: 30 }, () => to("/file")))
    const { error, requests } = await run(targetIn(tempFolder("models")))
    expect(error?.message).toContain("too many redirects")
    expect(requests.length).toBe(21)
  })
})

describe("disk", () => {
  test("full", async () => {
    const target = targetIn(tempFolder("models"))
    symlinkSync("/dev/full", `${target.path}.download`)
    const { error, requests } = await run(target)
    expect([error?._tag, requests.length]).toEqual(["DiskFull", 1])
    expect(error?.message).toContain("is full. Free space there")
  })

  test("not a folder", async () => {
    const folder = tempFolder("models")
    writeFileSync(join(folder, "in"), "")
    const { error } = await run(targetIn(join(folder, "in")))
    expect(error?._tag).toBe("StoreUnusable")
    expect(error?.message).toMatch(/cannot be used \(ENOTDIR\): .* Move it away/)
    mkdirSync(join(folder, "taken/file.download"), { recursive: true })
    expect((await run(targetIn(join(folder, "taken")))).error?._tag).toBe("StoreUnusable")
  })
})
