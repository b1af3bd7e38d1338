import { afterAll, describe, expect, test } from "bun:test"
import { statSync } from "node:fs"
import { relative } from "node:path"
import { Schema } from "effect"
import manifest from "../../package.json"
import { includedFolder } from "../../src/models/store.ts"
import { api } from "./compose.ts"

const root = new URL("../../", import.meta.url)
const textOf = (name: string) => Bun.file(new URL(name, root)).text()

/** Keyword and arguments of each instruction, continued lines joined. */
const instructions = (await textOf("Dockerfile"))
  .replace(/^#.*\n/gm, "")
  .replace(/\\\n\s*/g, "")
  .split("\n")
  .flatMap((line) => {
    const [, keyword = "", text = ""] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? []
    return keyword === "" ? [] : [{ keyword, text }]
  })

const all = (keyword: string) =>
  instructions.filter((each) => each.keyword === keyword).map(({ text }) => text)
const last = (keyword: string) => all(keyword).at(-1) ?? ""
const words = Schema.decodeSync(Schema.parseJson(Schema.Array(Schema.String)))

/** Files copied from the project, not from another stage. */
const copied = all("COPY")
  .filter((text) => !text.startsWith("--from="))
  .flatMap((text) => text.split(" ").slice(0, -1))

describe("the image", () => {
  test("is Debian with the pinned Bun and the packages", () => {
    const images = all("FROM").map((text) => text.split(" ")[0])
    expect(images[0]).toBe(`oven/${manifest.packageManager.replace("@", ":")}-slim`)
    expect(images.slice(1)).toEqual(["base", "base", "base", "base"])
    expect(last("LABEL")).toContain(`base.name="docker.io/${images[0]}"`)
  })

  test("runs as an unprivileged user and gets its signals", () => {
    expect(last("USER")).toMatch(/^[1-9]\d*:[1-9]\d*$/)
    expect(instructions.findLastIndex(({ keyword }) => keyword === "RUN")).toBeLessThan(
      instructions.findIndex(({ keyword }) => keyword === "USER"),
    )
    expect(last("RUN")).toBe("install -d -o bun -g bun data logs")
    const { NODE_ENV, DATA_DIR, LOG_DIR, PORT } = api.environment
    for (const each of [`NODE_ENV=${NODE_ENV}`, `DATA_DIR=${DATA_DIR}`, `LOG_DIR=${LOG_DIR}`]) {
      expect(last("ENV").split(" ")).toContain(each)
    }
    expect(words(last("CMD"))).toEqual(manifest.scripts.start.split(" "))
    expect(last("STOPSIGNAL")).toBe("SIGTERM")
    expect(last("EXPOSE")).toBe(`${PORT}`)
  })

  test("has no development dependencies", async () => {
    expect(all("RUN")[0]).toMatch(/^bun install --frozen-lockfile --production /)
    const installed = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })
    const transpiler = new Bun.Transpiler({ loader: "ts" })
    const missing = new Set<string>()
    for await (const path of new Bun.Glob("src/**/*.ts").scan(root.pathname)) {
      // The parser does not support a `#!` line.
      const source = (await textOf(path)).replace(/^#!.*/, "")
      for (const { path: imported } of transpiler.scanImports(source)) {
        const [, name] = /^(@[^/]+\/[^/]+|[^./][^/]*)/.exec(imported) ?? []
        if (name !== undefined && !/^(node|bun)(:|$)/.test(name) && !installed.includes(name))
          missing.add(name)
      }
    }
    expect([...missing]).toEqual([])
  })

  test("has an ffmpeg with what the service asks of it", async () => {
    const configure = all("RUN").find((text) => text.includes("./configure")) ?? ""
    const enabled = (what: string) =>
      (new RegExp(`--enable-${what}="?([^" ]+)`).exec(configure)?.[1] ?? "")
        .split(",")
        .map((pattern) => new Bun.Glob(pattern))
    const missing = (what: string, names: Iterable<string>) => {
      const globs = enabled(what)
      return [...names].filter((name) => !globs.some((glob) => glob.match(name)))
    }
    const source = (
      await Promise.all(Array.from(new Bun.Glob("src/{audio,ffmpeg}/*.ts").scanSync(root.pathname), textOf))
    ).join("\n")
    const found = (pattern: RegExp) =>
      new Set(
        [...source.matchAll(pattern)].flatMap(([, name = ""]) => name.split(/[^a-z0-9_]+/)).filter(Boolean),
      )
    // A format without a header is called pcm_s16le by configure, and s16le by ffmpeg.
    const raw = /^(?:[su]\d+|f\d+)[bl]e$|^(?:mu|a)law$/
    const demuxers = [...found(/demuxer: ((?:"\w+"(?: \| )?)+)/g), ...found(/type Demuxer = (.*)/g)]
    expect(demuxers.length).toBeGreaterThan(10)
    expect(
      missing(
        "demuxer",
        demuxers.map((name) => (raw.test(name) ? `pcm_${name}` : name)),
      ),
    ).toEqual([])
    expect(missing("encoder", found(/"-c:a",\s*"(\w+)"/g))).toEqual([])
    expect(
      missing("protocol", found(/protocol_whitelist", (.*)\]/g).intersection(new Set(["file", "pipe"]))),
    ).toEqual([])
    expect(missing("filter", ["aresample", ...found(/"-af", "(\w+)=/g)])).toEqual([])
    expect(all("COPY")).toContain("--from=ffmpeg /source/ffmpeg /usr/local/bin/ffmpeg")
  })

  test("has the models where the service looks for them", () => {
    const pull = all("RUN").find((text) => text.includes("models pull")) ?? ""
    expect(pull).toContain("bun src/main.ts models pull --default --yes")
    // The working folder is /app.
    expect(all("COPY")).toContain("--from=models /app/models models")
    expect(relative(root.pathname, includedFolder)).toBe("models")
  })

  test("has the command line that messages name", () => {
    expect(copied).toContain("voice-agent")
    expect(statSync(new URL("voice-agent", root)).mode & 0o111).toBe(0o111)
  })

  test("has every file that src reads", async () => {
    const missing: string[] = []
    for await (const path of new Bun.Glob("src/**/*.ts").scan(root.pathname)) {
      for (const [, target = ""] of (await textOf(path)).matchAll(
        /new URL\("(\.[^"]*)", import\.meta\.url\)/g,
      )) {
        const read = new URL(target, new URL(path, root)).pathname.slice(root.pathname.length)
        if (!copied.some((each) => read === each || read.startsWith(`${each}/`))) missing.push(read)
      }
    }
    expect(missing).toEqual([])
  })

  test("the build context has only the copied files", async () => {
    const [first, ...allowed] = (await textOf(".dockerignore"))
      .split("\n")
      .filter((line) => /^[^#]/.test(line))
    expect(first).toBe("*")
    expect(allowed.toSorted()).toEqual([...new Set(copied)].map((each) => `!${each}`).toSorted())
  })
})

describe("the health check", () => {
  let status = 200
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) =>
      new Response(null, { status: new URL(url).pathname === "/api/v1/health" ? status : 404 }),
  })
  afterAll(() => server.stop(true))

  const [, command = "[]"] = /^.*? CMD (\[.*\])$/.exec(last("HEALTHCHECK")) ?? []
  const check = (port: number | undefined) => {
    const [program = "", ...rest] = words(command)
    expect(program).toBe("bun")
    return Bun.spawn([process.execPath, ...rest], { env: { PORT: `${port}` }, stderr: "inherit" }).exited
  }

  test("succeeds if the service answers", async () => {
    expect(await check(server.port)).toBe(0)
  })

  test("fails if the service is not healthy", async () => {
    status = 503
    expect(await check(server.port)).toBe(1)
  })

  test("fails if nothing listens", async () => {
    const closed = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() })
    await closed.stop(true)
    expect(await check(closed.port)).toBe(1)
  })
})
