import { BlockList, isIP, isIPv4, isIPv6 } from "node:net"
import { Option } from "effect"
import ipaddr from "ipaddr.js"

/**
 * The address in its canonical form, an IPv4-mapped IPv6 address as IPv4. Proxies may add a port, brackets and quotes,
 * and an operating system the zone of a link-local address.
 */
const parseAddress = (text: string): Option.Option<string> => {
  const address = text
    .trim()
    .replace(/^"(.*)"$/, "$1")
    .replace(/^\[(.*)\](:\d+)?$/, "$1")
    .replace(/^([\d.]+):\d+$/, "$1")
    .replace(/%.*$/, "")
  // ipaddr.js alone takes 1 for 0.0.0.1, and 010.0.0.1 for 8.0.0.1.
  return isIP(address) === 0 ? Option.none() : Option.some(ipaddr.process(address).toString())
}

/**
 * The addresses that each proxy received the request from, the client's first. X-Forwarded-For wins over Forwarded
 * (RFC 7239: `for=192.0.2.60;proto=http, for="[2001:db8::1]:4711"`).
 */
const forwardedFor = (headers: Headers): ReadonlyArray<string> => {
  const plain = headers.get("x-forwarded-for")
  if (plain !== null) return plain.split(",")
  // Each hop is parsed on its own, so that garbage from the client does not hide what the proxies add.
  return (headers.get("forwarded") ?? "")
    .split(",")
    .map((hop) => /(?:^|;)\s*for=("[^"]*"|[^;\s]*)/i.exec(hop)?.[1] ?? "")
}

/** Whether an address is in TRUSTED_PROXIES: addresses, and networks such as 10.0.0.0/8. */
const makeTrusted = (networks: ReadonlyArray<string>) => {
  const list = new BlockList()
  const family = (address: string) => (isIPv4(address) ? "ipv4" : "ipv6")
  for (const network of networks) {
    const [address = "", bits] = network.split("/")
    if (bits === undefined) list.addAddress(address, family(address))
    else list.addSubnet(address, Number(bits), family(address))
  }
  return (address: string) => list.check(address, family(address))
}

/**
 * Returns the client address: the peer, or the last untrusted hop in X-Forwarded-For or Forwarded when the peer is a
 * trusted proxy. The walk ends at a hop that names no address: the proxy that added it counts as the client.
 */
export const makeClientAddress = (trustedProxies: ReadonlyArray<string>) => {
  const isTrusted = makeTrusted(trustedProxies)
  return (peer: string | undefined, headers: Headers): string => {
    const first = Option.getOrUndefined(parseAddress(peer ?? ""))
    if (first === undefined) return "unknown"
    let client = first
    for (const hop of isTrusted(first) ? forwardedFor(headers).toReversed() : []) {
      const before = parseAddress(hop)
      if (Option.isNone(before)) break
      client = before.value
      if (!isTrusted(client)) break
    }
    return client
  }
}

/** The network that a limit counts as one client: the /64 of an IPv6 address, since a client has 2^64 of those. */
export const networkOf = (address: string): string =>
  isIPv6(address) ? `${ipaddr.IPv6.networkAddressFromCIDR(`${address}/64`)}/64` : address
