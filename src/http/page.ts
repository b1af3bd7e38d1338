import { Effect } from "effect"
import { Elysia } from "elysia"
import { PathNotFound } from "./errors.ts"
import { makeRun } from "./run.ts"

const source = new URL("../page/", import.meta.url).pathname
const clientSource = new URL("../client/client.ts", import.meta.url).pathname

/** Nothing from elsewhere, nothing inline, in nobody's frame: only the page's own code runs in it. */
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

/** A year, as RFC 9111 has it for what never changes: the name of such a file changes with its content. */
const forEver = "public, max-age=31536000, immutable"
/** Kept, but asked about each time. */
const askedAbout = "no-cache"

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

/** Bundled in memory: nothing is written, so that it works on a read-only disk. */
const bundle = async (entry: string) => {
  const { outputs } = await Bun.build({ entrypoints: [entry], target: "browser", minify: true })
  const [output] = outputs
  if (output === undefined) throw new Error(`${entry} gave nothing`)
  return output.text()
}

/** The page and all that it loads, by path; and the client as a module that any page can import. */
const makeFiles = async (): Promise<ReadonlyMap<string, File>> => {
  let html = await Bun.file(`${source}index.html`).text()
  const files = new Map<string, File>()
  for (const [entry, extension] of [
    ["main.ts", "js"],
    ["style.css", "css"],
  ] as const) {
    const content = await bundle(source + entry)
    const name = `assets/page-${Bun.hash(content).toString(36)}.${extension}`
    files.set(`/${name}`, fileOf(name, content, forEver))
    html = html.replace(`"${entry}"`, `"${name}"`)
  }
  files.set("/", fileOf("index.html", html, askedAbout, { headers: pageHeaders }))
  files.set("/client.js", fileOf("client.js", await bundle(clientSource), askedAbout))
  return files
}

const answer = (request: Request, { content, type, etag, cacheControl, headers }: File) => {
  const isKnown =
    request.headers
      .get("if-none-match")
      ?.split(/\s*,\s*/)
      .includes(etag) ?? false
  return new Response(isKnown ? null : content, {
    status: isKnown ? 304 : 200,
    headers: {
      "content-type": type,
      "cache-control": cacheControl,
      etag,
      "x-content-type-options": "nosniff",
      ...headers,
    },
  })
}

/** The page at `/`, bundled when it is first asked for. */
export const pageRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  // Once they are there: what fails is tried again by the next.
  let made: Promise<ReadonlyMap<string, File>> | undefined
  const files = Effect.promise(() => {
    made ??= makeFiles().catch((error: unknown) => {
      made = undefined
      throw error
    })
    return made
  })
  const give = (path: string) => (context: { readonly request: Request }) =>
    run(
      context.request,
      Effect.flatMap(files, (all) => {
        const file = all.get(path)
        return file === undefined
          ? Effect.fail(new PathNotFound())
          : Effect.succeed(answer(context.request, file))
      }),
    )

  return new Elysia()
    .get("/", give("/"))
    .get("/client.js", give("/client.js"))
    .get("/assets/:name", (context) => give(`/assets/${context.params.name}`)(context))
})
