import { expect, test } from "bun:test"
import { join } from "node:path"
import { corpusOf, makeFile } from "./corpus.ts"
import { seeds } from "./seeds.ts"

const lures = { url: "http://127.0.0.1:9", file: "/etc/hostname" }
const hashOf = async (seed: number, name: string) => Bun.hash(await makeFile(seed, name, lures))

test("every name stands for a file of its own, and for the same one in every run", async () => {
  const names = corpusOf(2000, 1)
  expect(new Set(names).size).toBe(2000)
  const broken = names.filter((name) => name.startsWith("broken/"))
  const some = broken.filter((_, n) => n % 20 === 0)
  const once = await Promise.all(some.map((name) => hashOf(1, name)))
  expect(await Promise.all(some.map((name) => hashOf(1, name)))).toEqual(once)
  const otherwise = await Promise.all(some.map((name) => hashOf(2, name)))
  const alike = once.filter((hash, n) => hash === otherwise[n])
  expect(alike.length).toBeLessThan(some.length / 5)
  expect(new Set(once).size).toBeGreaterThan(some.length * 0.9)
}, 60_000)

test("a short corpus has files of every kind, and other seeds have others", () => {
  const all = new Set(corpusOf(1000, 1))
  const [one, two, three] = [1, 2, 3].map((seed) => corpusOf(300, seed))
  for (const names of [one, two, three]) expect(new Set(names).size).toBe(300)
  const kinds = (names: Iterable<string> = []) => new Set([...names].map((name) => name.split("/")[0]))
  expect(kinds(one)).toEqual(kinds(all))
  const byHand = (names: Iterable<string> = []) => [...names].filter((name) => !name.startsWith("broken/"))
  expect(new Set([one, two, three].flatMap(byHand)).size).toBeGreaterThan(byHand(all).length * 0.7)
})

test("a file is made again by its name on the command line, from recordings made anew", async () => {
  for (const name of ["broken/oggOpus/sizeThatLies/0", "broken/mkvAac/bitOfAHeader/0", "by hand/bw64"]) {
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "corpus.ts"), "7", name])
    expect(Bun.hash(await child.stdout.bytes())).toBe(await hashOf(7, name))
  }
}, 60_000)

test("all recordings are there to be broken", async () => {
  const made = await Promise.all(Object.values(seeds).map((make) => make()))
  expect(Math.min(...made.map(({ length }) => length))).toBeGreaterThan(1000)
}, 60_000)
