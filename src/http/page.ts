import { join } from "node:path"
import { Effect } from "effect"
import { Elysia } from "elysia"
import { PathNotFound } from "./errors.ts"
import { makeRun } from "./run.ts"

const source = join(import.meta.dir, "../page")
const clientSource = join(import.meta.dir, "../client/client.ts")

/** Allows the page's own files only: no other origin, no inline code, no frame around the page. */
const contentSecurity = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "media-src blob:",
  "img-src 'self' data:",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ")

const pageHeaders = {
  "content-security-policy": contentSecurity,
  "referrer-policy": "no-referrer",
  "permissions-policy": "microphone=(self), camera=(), geolocation=()",
}

/** A year. The file's name contains the hash of its content, so the content never changes. */
const immutable = "public, max-age=31536000, immutable"
/** Caches revalidate the file with each request. */
const revalidated = "no-cache"

interface File {
  readonly content: string
  readonly type: string
  readonly etag: string
  readonly cacheControl: string
  readonly headers?: Readonly<Record<string, string>>
}

const types: Readonly<Record<string, string>> = {
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
}

const fileOf = (name: string, content: string, cacheControl: string, more: Partial<File> = {}): File => ({
  content,
  type: types[name.replace(/^.*\./, "")] ?? "application/octet-stream",
  etag: `"${Bun.hash(content).toString(36)}"`,
  cacheControl,
  ...more,
})

/** Bundles in memory, so that it works on a read-only disk. */
const bundle = async (entry: string) => {
  const { outputs } = await Bun.build({ entrypoints: [entry], target: "browser", minify: true })
  const [output] = outputs
  if (output === undefined) throw new Error(`Bun.build produced no output for ${entry}`)
  return output.text()
}

/** The page and its assets by path, and the client as a module for other pages. */
const makeFiles = async (): Promise<ReadonlyMap<string, File>> => {
  let html = await Bun.file(join(source, "index.html")).text()
  const files = new Map<string, File>()
  for (const [entry, extension] of [
    ["main.ts", "js"],
    ["capture.worklet.ts", "js"],
    ["style.css", "css"],
  ] as const) {
    const content = await bundle(join(source, entry))
    const name = `assets/page-${Bun.hash(content).toString(36)}.${extension}`
    files.set(`/${name}`, fileOf(name, content, immutable))
    html = html.replace(`"${entry}"`, `"${name}"`)
  }
  files.set("/", fileOf("index.html", html, revalidated, { headers: pageHeaders }))
  files.set("/client.js", fileOf("client.js", await bundle(clientSource), revalidated))
  return files
}

const respond = (request: Request, { content, type, etag, cacheControl, headers }: File) => {
  const isUnchanged =
    request.headers
      .get("if-none-match")
      ?.split(",")
      .some((tag) => tag.trim() === etag) ?? false
  return new Response(isUnchanged ? null : content, {
    status: isUnchanged ? 304 : 200,
    headers: {
      "content-type": type,
      "cache-control": cacheControl,
      etag,
      "x-content-type-options": "nosniff",
      ...headers,
    },
  })
}

/** The page at `/`. The first request bundles it. */
export const pageRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  // A failed bundle is tried again with the next request.
  let bundled: Promise<ReadonlyMap<string, File>> | undefined
  const files = Effect.promise(() => {
    bundled ??= makeFiles().catch((error: unknown) => {
      bundled = undefined
      throw error
    })
    return bundled
  })
  const serve = (path: string) => (context: { readonly request: Request }) =>
    run(
      context.request,
      Effect.flatMap(files, (all) => {
        const file = all.get(path)
        return file === undefined
          ? Effect.fail(new PathNotFound())
          : Effect.succeed(respond(context.request, file))
      }),
    )

  return new Elysia()
    .get("/", serve("/"))
    .get("/client.js", serve("/client.js"))
    .get("/assets/:name", (context) => serve(`/assets/${context.params.name}`)(context))
})
