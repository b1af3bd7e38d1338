import { BlockList, isIPv4, isIPv6 } from "node:net"
import { Option } from "effect"

/** The eight groups of an IPv6 address. */
const groupsOf = (address: string): ReadonlyArray<number> => {
  const groups = (text: string) =>
    text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16))
  // In the form that URLs give it: no dots, and one :: at most.
  const [head = "", tail = ""] = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::")
  const [first, last] = [groups(head), groups(tail)]
  return [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last]
}

/** An address as one writes it, whoever wrote it; one of IPv4 that came by IPv6 is one of IPv4. */
const parseAddress = (text: string): Option.Option<string> => {
  // A port after it, brackets around it (as in a Forwarded header, where they need quotes) or a link's name in it.
  const quoted = text.trim().replace(/^"(.*)"$/, "$1")
  const bare = quoted
    .replace(/^\[(.*)\](:\d+)?$/, "$1")
    .replace(/^([\d.]+):\d+$/, "$1")
    .replace(/%.*$/, "")
  if (isIPv4(bare)) return Option.some(bare)
  if (!isIPv6(bare)) return Option.none()
  const groups = groupsOf(bare)
  const [high = 0, low = 0] = groups.slice(6)
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff
  return Option.some(
    isMapped
      ? [high >> 8, high & 255, low >> 8, low & 255].join(".")
      : new URL(`http://[${bare}]`).hostname.slice(1, -1),
  )
}

/** Whom each proxy on the way says that it was asked by, the farthest first. */
const forwardedFor = (headers: Headers): ReadonlyArray<string> => {
  const plain = headers.get("x-forwarded-for")
  if (plain !== null) return plain.split(",")
  // RFC 7239: for=192.0.2.60;proto=http, for="[2001:db8::1]:4711"
  return (headers.get("forwarded") ?? "")
    .split(",")
    .map((hop) => /(?:^|;)\s*for=("[^"]*"|[^;\s]*)/i.exec(hop)?.[1] ?? "")
}

/** What TRUSTED_PROXIES names: addresses and networks such as 10.0.0.0/8. */
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
 * Who asks: the other end of the connection; where that is a trusted proxy, whom it says that it was asked by, and so on
 * until one that is not trusted, whose own words count for nothing. A proxy that names nobody is the one that asks.
 * X-Forwarded-For wins over Forwarded.
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

/** Whom a limit counts as one: of IPv6 the /64, since whoever has one address has 2^64 of them. */
export const networkOf = (address: string): string =>
  isIPv6(address)
    ? `${groupsOf(address)
        .slice(0, 4)
        .map((group) => group.toString(16))
        .join(":")}::/64`
    : address
