import { afterAll, beforeAll, expect, test } from "bun:test"
import { startTurns, type TurnService } from "../support/turns.ts"

let service: TurnService
let root: string
beforeAll(async () => {
  service = await startTurns()
  root = service.url.replace("/api/v1", "")
})
afterAll(() => service.stop())

const paths = (html: string) =>
  [...html.matchAll(/(?:src|href)="(assets\/[^"]+)"/g)].map(([, path = ""]) => path)

test("the page is revalidated, and its CSP allows its own code", async () => {
  const answer = await fetch(`${root}/`)
  expect(answer.status).toBe(200)
  expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8")
  expect(answer.headers.get("content-security-policy")).toBe(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src blob:; " +
      "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  )
  expect(answer.headers.get("x-content-type-options")).toBe("nosniff")
  expect(answer.headers.get("referrer-policy")).toBe("no-referrer")
  expect(answer.headers.get("cache-control")).toBe("no-cache")
  const etag = answer.headers.get("etag") ?? ""
  const again = await fetch(`${root}/`, { headers: { "if-none-match": `"other", ${etag}` } })
  expect([again.status, await again.text()]).toEqual([304, ""])
  const html = await answer.text()
  expect(html).not.toMatch(/<style|style=|<script(?![^>]*src=)| on\w+=|https?:\/\/(?!www\.w3\.org)/)
})

test("assets are cached forever under hashed names", async () => {
  const loaded = paths(await (await fetch(`${root}/`)).text())
  expect(loaded).toHaveLength(2)
  for (const path of loaded) {
    const answer = await fetch(`${root}/${path}`)
    expect(answer.status).toBe(200)
    expect(answer.headers.get("cache-control")).toBe("public, max-age=31536000, immutable")
    expect(answer.headers.get("content-type")).toMatch(/^text\/(javascript|css); charset=utf-8$/)
    const text = await answer.text()
    expect(path).toContain(Bun.hash(text).toString(36))
    // A small page: a first visit costs less than a photo.
    expect(text.length).toBeLessThan(80_000)
    expect(text).not.toMatch(/https?:\/\/(?!www\.w3\.org|localhost)\w/)
  }
})

test("other paths are 404", async () => {
  for (const path of ["/assets/main.ts", "/assets/..%2findex.html", "/index.html", "/assets/"]) {
    const answer = await fetch(`${root}${path}`)
    expect([path, answer.status]).toEqual([path, 404])
    expect(await answer.json()).toMatchObject({ error: "NOT_FOUND" })
  }
  expect((await fetch(`${root}/`, { method: "POST" })).status).toBe(405)
})

test("the page and the client import no package", async () => {
  const transpiler = new Bun.Transpiler({ loader: "ts" })
  const src = new URL("../../src/", import.meta.url).pathname
  const foreign: Array<string> = []
  for await (const path of new Bun.Glob("{page,client}/*.ts").scan(src)) {
    for (const { path: imported } of transpiler.scanImports(await Bun.file(src + path).text())) {
      if (!/^(\.\/|\.\.\/client\/client\.ts$)/.test(imported)) foreign.push(`${path}: ${imported}`)
    }
  }
  expect(foreign).toEqual([])
})
