import { expect, test } from "bun:test"
import { Option } from "effect"
import { makeUrlCheck } from "../../src/outbound/target.ts"

const none = { allowedNetworks: [], blockedNetworks: [], isHttpAllowed: false }
const inner = { ...none, allowedNetworks: ["127.0.0.1"] }
const address = /is not public.*OUTBOUND_ALLOWED_NETWORKS/

test.each([
  "http://127.0.0.1:4102",
  "https://127.0.0.1",
  "https://localhost:4102/x",
  "https://api.localhost",
  "https://localhost.",
  "https://10.1.2.3",
  "https://[::1]",
  "https://[::ffff:127.0.0.1]",
  "https://2130706433",
  "https://0x7f.1",
  "https://169.254.169.254",
  "https://[fd00::1]",
])("an inner address: %s", (url) => expect(Option.getOrThrow(makeUrlCheck(none)(url))).toMatch(address))

test.each(["http://example.com", "http://93.184.216.34"])("without TLS: %s", (url) => {
  expect(Option.getOrThrow(makeUrlCheck(none)(url))).toBe("must start with https://")
  expect(makeUrlCheck({ ...none, isHttpAllowed: true })(url)).toEqual(Option.none())
})

test("what may be called", () => {
  expect(makeUrlCheck(none)("https://example.com")).toEqual(Option.none())
  for (const url of ["http://127.0.0.1:4102", "http://localhost:22", "http://tools.internal"]) {
    expect(makeUrlCheck(inner)(url)).toEqual(Option.none())
  }
  expect(Option.getOrThrow(makeUrlCheck(inner)("http://10.0.0.1"))).toMatch(address)
  const blocked = { ...inner, blockedNetworks: ["127.0.0.1"] }
  expect(Option.getOrThrow(makeUrlCheck(blocked)("http://127.0.0.1"))).toMatch(address)
  expect(Option.getOrThrow(makeUrlCheck(none)("https://example.com:25"))).toMatch(/^must have port/)
})
