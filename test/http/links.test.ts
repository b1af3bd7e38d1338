/**
 * Every link leads somewhere: of the pages that the service serves, at the root and behind a proxy's sub-path, and of the docs.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import type { Browser } from "playwright-core"
import { register, startBrowser, visit } from "../page/browser.ts"
import { makeFakeRealtime } from "../support/fake-realtime.ts"
import { type Service, startService } from "../support/service.ts"

// Chromium needs seconds to start on a busy machine.
setDefaultTimeout(60_000)

const prefix = "/voice/agent"

let service: Service
let proxy: Bun.Server<undefined>
/** The addresses of the page by where the service is. */
let roots: Readonly<Record<"root" | "sub-path", string>>
beforeAll(async () => {
  service = await startService({ realtime: makeFakeRealtime().layer })
  const root = service.url.replace("api/v1", "")
  /** Removes the prefix, as proxies do, and knows nothing outside of it. */
  proxy = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      const { pathname, search } = new URL(request.url)
      if (!pathname.startsWith(`${prefix}/`)) return new Response("", { status: 404 })
      return fetch(new URL(`${pathname.slice(prefix.length + 1)}${search}`, root), {
        method: request.method,
        headers: request.headers,
        body: request.body,
      })
    },
  })
  roots = { root, "sub-path": `http://127.0.0.1:${proxy.port}${prefix}/` }
})
afterAll(async () => {
  await proxy.stop(true)
  await service.stop()
})

const attributes = ["href", "src", "action", "srcset", "data", "poster", "formaction"]

interface Found {
  readonly links: ReadonlyArray<string>
  readonly ids: ReadonlySet<string>
}

const readPage = async (answer: Response): Promise<Found> => {
  const links: Array<string> = []
  const ids = new Set<string>()
  const rewriter = new HTMLRewriter().on("*", {
    element: (element) => {
      const id = element.getAttribute("id")
      if (id !== null) ids.add(id)
      for (const name of attributes) {
        const link = element.getAttribute(name)
        if (link !== null && !link.startsWith("data:")) links.push(link)
      }
    },
  })
  await rewriter.transform(answer).text()
  return { links, ids }
}

/** The one link that leads elsewhere: what the events of the Realtime protocol mean. */
const realtimeGuide = "https://developers.openai.com/api/docs/guides/realtime-conversations"

/** Follows the links of the page at `start`, and those of the pages they lead to. Returns what it visited. */
const crawl = async (start: string): Promise<ReadonlySet<string>> => {
  const pages = new Map<string, Found>()
  const waiting = [start]
  const broken: Array<string> = []
  for (let url = waiting.shift(); url !== undefined; url = waiting.shift()) {
    if (pages.has(url)) continue
    const answer = await fetch(url)
    if (answer.status !== 200) broken.push(`${answer.status} ${url}`)
    const isPage = answer.headers.get("content-type")?.startsWith("text/html") ?? false
    pages.set(url, isPage ? await readPage(answer) : { links: [], ids: new Set() })
    for (const link of pages.get(url)?.links ?? []) {
      const target = new URL(link, url)
      if (target.href === realtimeGuide) continue
      expect([link, target.origin]).toEqual([link, new URL(start).origin])
      waiting.push(target.href.replace(/#.*$/, ""))
    }
  }
  for (const [url, { links }] of pages) {
    for (const link of links) {
      if (link === realtimeGuide) continue
      const { href, hash } = new URL(link, url)
      if (hash !== "" && !pages.get(href.replace(hash, ""))?.ids.has(decodeURIComponent(hash.slice(1)))) {
        broken.push(`${hash} of ${url}`)
      }
    }
  }
  expect(broken).toEqual([])
  return new Set(pages.keys())
}

describe.each(["root", "sub-path"] as const)("at the %s", (where) => {
  test("the links of the pages lead somewhere", async () => {
    const visited = await crawl(roots[where])
    // The names of built files have a hash.
    const paths = [...visited]
      .map((url) => url.slice(roots[where].length).replace(/^(assets\/page)-\w+\./, "$1."))
      .toSorted()
    expect(paths).toEqual(["", "assets/page.css", "assets/page.js", "docs", "openapi.json"])
  })

  test("the page works in a browser, and so do the links that its code makes", async () => {
    const browser: Browser = await startBrowser()
    try {
      const { page, close } = await visit(browser, { ...service, url: `${roots[where]}api/v1` })
      const failed: Array<string> = []
      page.on("response", (response) => {
        if (response.status() >= 400) failed.push(`${response.status()} ${response.url()}`)
      })
      await register(page)
      const links = `[...document.querySelectorAll("a[href], link[href], script[src], img[src], form[action]")]
        .map((each) => each.href || each.src || each.action).filter((each) => /^http/.test(each))`
      const found = await page.evaluate(links)
      expect(found).toContain(`${roots[where]}docs`)
      if (!Array.isArray(found)) throw new Error("no links")
      for (const link of found) expect([link, (await fetch(`${link}`)).status]).toEqual([link, 200])
      expect(failed).toEqual([])
      await close()
    } finally {
      await browser.close()
    }
  })
})

describe("the endpoints that texts name exist:", () => {
  const root = new URL("../..", import.meta.url).pathname
  const documents = ["README.md", "docs/**/*.md", "examples/*.{ts,py,sh,html}"]
    .flatMap((pattern) => [...new Bun.Glob(pattern).scanSync(root)])
    // Names the endpoints of providers.
    .filter((path) => path !== "docs/guides/providers.md")
  /** Routes by method and path; ":id" and "…" stand for any value. Only an unknown path is NOT_FOUND. */
  const statusOf = async (method: string, path: string) => {
    const answer = await fetch(new URL(path.replaceAll(/:\w+|\{\w+\}|…/g, crypto.randomUUID()), roots.root), {
      method,
    })
    const body = await answer.text()
    return answer.status === 405 || body.includes('"NOT_FOUND"')
      ? `${answer.status} ${method} ${path}`
      : "found"
  }
  const namesOf = (text: string): ReadonlyArray<readonly [method: string, path: string]> => [
    ...[...text.matchAll(/http:\/\/localhost:3000(\/[\w/.-]*)/g)].map(
      ([, path = ""]) => ["GET", path] as const,
    ),
    ...[...text.matchAll(/`(GET|POST|PATCH|DELETE) (\/[^\s`?]*)[^`]*`/g)].map(
      ([, method = "", path = ""]) => [method, /^\/(api|v1)\//.test(path) ? path : `/api/v1${path}`] as const,
    ),
    ...[...text.matchAll(/`(\/(?:docs|openapi\.json|client\.js|health|ready))`/g)].map(
      ([, path = ""]) => ["GET", /health|ready/.test(path) ? `/api/v1${path}` : path] as const,
    ),
  ]
  const check = async (text: string) => {
    // The bases of the APIs are no endpoints.
    const named = namesOf(text).filter(([, path]) => path !== "/api/v1" && path !== "/v1")
    const results = await Promise.all(named.map(([method, path]) => statusOf(method, path)))
    expect(results.filter((each) => each !== "found")).toEqual([])
    return named.length
  }

  test("of the documents", async () => {
    const texts = await Promise.all(documents.map((path) => Bun.file(`${root}${path}`).text()))
    expect(await check(texts.join("\n"))).toBeGreaterThan(40)
  })

  test("of the OpenAPI document", async () => {
    expect(await check(await (await fetch(new URL("openapi.json", roots.root))).text())).toBeGreaterThan(0)
  })
})
