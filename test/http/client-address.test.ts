import { describe, expect, test } from "bun:test"
import { makeClientAddress, networkOf } from "../../src/http/client-address.ts"

const proxies = ["10.0.0.0/8", "fd00::/8", "203.0.113.7"]
const clientAddress = makeClientAddress(proxies)
const from = (peer: string, headers: Record<string, string> = {}) => clientAddress(peer, new Headers(headers))

describe("the client address", () => {
  test.each([
    ["nothing before it", "192.0.2.1", {}, "192.0.2.1"],
    ["of IPv4 by IPv6", "::ffff:192.0.2.1", {}, "192.0.2.1"],
    ["of IPv6, written in another way", "2001:DB8:0:0::1", {}, "2001:db8::1"],
    ["of a link", "fe80::1%eth0", {}, "fe80::1"],
    ["an untrusted word", "192.0.2.1", { "x-forwarded-for": "198.51.100.1" }, "192.0.2.1"],
    ["an untrusted word, the other header", "192.0.2.1", { forwarded: "for=198.51.100.1" }, "192.0.2.1"],
    ["a proxy", "10.1.2.3", { "x-forwarded-for": "198.51.100.1" }, "198.51.100.1"],
    ["a proxy of IPv4 by IPv6", "::ffff:10.1.2.3", { "x-forwarded-for": "198.51.100.1" }, "198.51.100.1"],
    ["a proxy of IPv6", "fd12::1", { "x-forwarded-for": "2001:db8::1" }, "2001:db8::1"],
    ["a proxy's neighbour", "203.0.113.8", { "x-forwarded-for": "198.51.100.1" }, "203.0.113.8"],
    [
      "proxies in a row",
      "10.1.2.3",
      { "x-forwarded-for": "198.51.100.1, 203.0.113.7,10.9.9.9" },
      "198.51.100.1",
    ],
    [
      "a forged beginning",
      "10.1.2.3",
      { "x-forwarded-for": "1.1.1.1, 198.51.100.1, 10.9.9.9" },
      "198.51.100.1",
    ],
    ["a forged proxy", "10.1.2.3", { "x-forwarded-for": "10.0.0.1, 198.51.100.1" }, "198.51.100.1"],
    ["proxies alone", "10.1.2.3", { "x-forwarded-for": "10.0.0.2, 10.0.0.1" }, "10.0.0.2"],
    ["a proxy that knows nobody", "10.1.2.3", { "x-forwarded-for": "198.51.100.1, unknown" }, "10.1.2.3"],
    ["a proxy that says nothing", "10.1.2.3", {}, "10.1.2.3"],
    ["an empty header", "10.1.2.3", { "x-forwarded-for": "" }, "10.1.2.3"],
    ["a port", "10.1.2.3", { "x-forwarded-for": "198.51.100.1:4711" }, "198.51.100.1"],
    ["a port after IPv6", "10.1.2.3", { "x-forwarded-for": "[2001:db8::1]:4711" }, "2001:db8::1"],
    [
      "the standard header",
      "10.1.2.3",
      { forwarded: "for=198.51.100.1;proto=https;by=10.1.2.3" },
      "198.51.100.1",
    ],
    ["the same, quoted", "10.1.2.3", { forwarded: 'proto=https; FOR="[2001:db8::1]:4711"' }, "2001:db8::1"],
    [
      "the same, proxies in a row",
      "10.1.2.3",
      { forwarded: "for=1.1.1.1, for=198.51.100.1, for=10.9.9.9" },
      "198.51.100.1",
    ],
    ["the same, hidden", "10.1.2.3", { forwarded: "for=198.51.100.1, for=_hidden" }, "10.1.2.3"],
    [
      "a beginning that is no header",
      "10.1.2.3",
      { forwarded: 'a b; ="for, for=198.51.100.1, for=10.9.9.9' },
      "198.51.100.1",
    ],
    ["a port without quotes", "10.1.2.3", { forwarded: "for=198.51.100.1:4711" }, "198.51.100.1"],
    ["proxies with ports", "10.1.2.3", { "x-forwarded-for": "198.51.100.1, 10.9.9.9:80" }, "198.51.100.1"],
    ["an IPv4 address in another notation", "10.1.2.3", { "x-forwarded-for": "010.0.0.1" }, "10.1.2.3"],
    ["an IPv6 address in capitals", "10.1.2.3", { "x-forwarded-for": "2001:DB8::A" }, "2001:db8::a"],
    [
      "IPv6 that ends as IPv4",
      "10.1.2.3",
      { "x-forwarded-for": "2001:db8:1:1::192.0.2.1" },
      "2001:db8:1:1::c000:201",
    ],
    ["IPv4 mapped in hexadecimal", "10.1.2.3", { "x-forwarded-for": "::ffff:c633:6401" }, "198.51.100.1"],
    [
      "both headers",
      "10.1.2.3",
      { "x-forwarded-for": "198.51.100.1", forwarded: "for=1.1.1.1" },
      "198.51.100.1",
    ],
    ["no address at all", "", { "x-forwarded-for": "198.51.100.1" }, "unknown"],
  ])("%s", (_, peer, headers, expected) => {
    expect(from(peer, headers)).toBe(expected)
  })

  test("is the peer without trusted proxies", () => {
    expect(makeClientAddress([])("10.1.2.3", new Headers({ "x-forwarded-for": "198.51.100.1" }))).toBe(
      "10.1.2.3",
    )
  })
})

test.each([
  ["192.0.2.1", "192.0.2.1"],
  ["2001:db8::1", "2001:db8::/64"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["::1", "::/64"],
  ["2001:db8:1:2::", "2001:db8:1:2::/64"],
  ["unknown", "unknown"],
])("%s is limited as %s", (address, network) => {
  expect(networkOf(address)).toBe(network)
})
