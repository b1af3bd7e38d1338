import { expect, test } from "bun:test"
import { Option } from "effect"
import { type AddressRules, makeAddressCheck } from "../../src/outbound/address.ts"

const none = { allowedNetworks: [], blockedNetworks: [] }
const nowhere = () => []
const judge = (
  address: string,
  rules: Partial<AddressRules> = {},
  own: () => ReadonlyArray<string> = nowhere,
) => Option.getOrElse(makeAddressCheck({ ...none, ...rules }, own)(address), () => "refused" as const)

test.each([
  "8.8.8.8",
  "93.184.216.34",
  "2606:2800:220:1:248:1893:25c8:1946",
  "2a00:1450:4001:80b::200e",
  "64:ff9b::808:808",
  "::ffff:8.8.8.8",
])("public %s", (address) => expect(judge(address)).toBe("public"))

test.each([
  ["unspecified", "0.0.0.0"],
  ["this network", "0.1.2.3"],
  ["loopback", "127.0.0.1"],
  ["loopback", "127.8.9.10"],
  ["private", "10.1.2.3"],
  ["private", "172.16.0.1"],
  ["private", "172.31.255.255"],
  ["private", "192.168.1.1"],
  ["carrier-grade NAT", "100.64.0.1"],
  ["Alibaba's metadata", "100.100.100.200"],
  ["metadata", "169.254.169.254"],
  ["Azure's host", "168.63.129.16"],
  ["Oracle's metadata", "192.0.0.192"],
  ["documentation", "192.0.2.1"],
  ["documentation", "198.51.100.7"],
  ["documentation", "203.0.113.7"],
  ["benchmarks", "198.18.0.1"],
  ["multicast", "224.0.0.1"],
  ["multicast", "239.255.255.250"],
  ["reserved", "240.0.0.1"],
  ["broadcast", "255.255.255.255"],
  ["unspecified", "::"],
  ["loopback", "::1"],
  ["unique local", "fd00:ec2::254"],
  ["unique local", "fc00::1"],
  ["link-local", "fe80::1"],
  ["link-local with a zone", "fe80::1%eth0"],
  ["site-local", "fec0::1"],
  ["multicast", "ff02::1"],
  ["IPv4-mapped", "::ffff:127.0.0.1"],
  ["IPv4-mapped in hex", "::ffff:7f00:1"],
  ["IPv4-compatible", "::127.0.0.1"],
  ["IPv4-translated", "::ffff:0:127.0.0.1"],
  ["NAT64", "64:ff9b::10.0.0.1"],
  ["NAT64", "64:ff9b::7f00:1"],
  ["local NAT64", "64:ff9b:1::a00:1"],
  ["6to4", "2002:7f00:1::"],
  ["Teredo", "2001:0:4136:e378:8000:63bf:3fff:fdd2"],
  ["documentation", "2001:db8::1"],
  ["documentation", "3fff::1"],
  ["discard", "100::1"],
  ["segment routing", "5f00::1"],
  ["no address", "localhost"],
  ["a short form", "127.1"],
  ["a decimal form", "2130706433"],
  ["an octal form", "0177.0.0.1"],
  ["nothing", ""],
])("refused: %s %s", (_, address) => expect(judge(address)).toBe("refused"))

test.each(["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0", "64:ff9b::"])(
  "%s is loopback for a block",
  (address) => {
    const allowedNetworks = ["0.0.0.0/0", "::/0"]
    expect(judge(address, { allowedNetworks })).toBe("allowed")
    expect(judge(address, { allowedNetworks, blockedNetworks: ["127.0.0.0/8"] })).toBe("refused")
    expect(judge(address, { allowedNetworks, blockedNetworks: ["::1"] })).toBe("refused")
    expect(judge(address, { allowedNetworks, blockedNetworks: ["10.0.0.0/8"] })).toBe("allowed")
  },
)

test("allowed networks", () => {
  const rules = { allowedNetworks: ["10.1.0.0/16", "127.0.0.1", "fd00:1::/32"] }
  expect(judge("10.1.2.3", rules)).toBe("allowed")
  expect(judge("::ffff:10.1.2.3", rules)).toBe("allowed")
  expect(judge("64:ff9b::a01:203", rules)).toBe("allowed")
  expect(judge("fd00:1::5", rules)).toBe("allowed")
  expect(judge("10.2.0.1", rules)).toBe("refused")
  expect(judge("127.0.0.2", rules)).toBe("refused")
  expect(judge("8.8.8.8", rules)).toBe("public")
})

test("blocked networks win", () => {
  const rules = {
    allowedNetworks: ["10.0.0.0/8"],
    blockedNetworks: ["10.9.0.0/16", "8.8.8.0/24", "2a00::/16"],
  }
  expect(judge("10.9.1.1", rules)).toBe("refused")
  expect(judge("::ffff:10.9.1.1", rules)).toBe("refused")
  expect(judge("64:ff9b::808:808", rules)).toBe("refused")
  expect(judge("8.8.8.8", rules)).toBe("refused")
  expect(judge("2a00::1", rules)).toBe("refused")
  expect(judge("10.8.1.1", rules)).toBe("allowed")
})

test("own networks", () => {
  const own = () => ["8.8.4.2/24", "2a00:1:2:3::7/64"]
  expect(judge("8.8.4.2", {}, own)).toBe("refused")
  expect(judge("8.8.4.200", {}, own)).toBe("refused")
  expect(judge("64:ff9b::808:402", {}, own)).toBe("refused")
  expect(judge("2a00:1:2:3::9", {}, own)).toBe("refused")
  expect(judge("8.8.8.8", {}, own)).toBe("public")
  expect(judge("8.8.4.2", { allowedNetworks: ["8.8.4.2"] }, own)).toBe("allowed")
})
