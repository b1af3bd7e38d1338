import { isIPv6 } from "node:net"
import { Option } from "effect"
import ipaddr from "ipaddr.js"
import { canonicalAddress, makeNetworks } from "../networks.ts"

/** The address in its canonical form. Proxies may add a port, brackets and quotes. */
const parseAddress = (text: string): Option.Option<string> =>
  canonicalAddress(
    text
      .trim()
      .replace(/^"(.*)"$/, "$1")
      .replace(/^\[(.*)\](:\d+)?$/, "$1")
      .replace(/^([\d.]+):\d+$/, "$1"),
  )

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

/**
 * Returns the client address: the peer, or the last untrusted hop in X-Forwarded-For or Forwarded when the peer is a
 * trusted proxy. The walk ends at a hop that names no address: the proxy that added it counts as the client.
 */
export const makeClientAddress = (trustedProxies: ReadonlyArray<string>) => {
  const isTrusted = makeNetworks(trustedProxies)
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
