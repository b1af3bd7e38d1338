import { networkInterfaces } from "node:os"
import { Option } from "effect"
import ipaddr from "ipaddr.js"
import { canonicalAddress, makeNetworks } from "../networks.ts"

/** Where a request may go. Networks are addresses and networks such as 10.0.0.0/8. */
export interface AddressRules {
  /** Called although they are not public; on every port, and without TLS. */
  readonly allowedNetworks: ReadonlyArray<string>
  /** Never called. Wins over `allowedNetworks`. */
  readonly blockedNetworks: ReadonlyArray<string>
}

/** NAT64 (RFC 6052, section 2.1): the last 32 bits are the IPv4 address that is called. */
const nat64 = ipaddr.IPv6.parseCIDR("64:ff9b::/96")

/** All of the public internet (RFC 4291, section 4). Other blocks have deprecated ways to write an IPv4 address. */
const globalUnicast = ipaddr.IPv6.parseCIDR("2000::/3")

/** Looks public, and answers virtual machines on Azure with their own settings. */
const azureHost = "168.63.129.16"

/** The address that a connection reaches: canonical, the IPv4 address of NAT64. */
const reached = (canonical: string): string => {
  const address = ipaddr.parse(canonical)
  return address instanceof ipaddr.IPv6 && address.match(nat64)
    ? ipaddr.fromByteArray(address.toByteArray().slice(12)).toString()
    : canonical
}

/** Where a connection to an unspecified address arrives, in Linux and in macOS. */
const loopback = ["127.0.0.1", "::1"]
const isUnspecified = (canonical: string) => ipaddr.parse(canonical).range() === "unspecified"

/** False for private, loopback, link-local, multicast and reserved addresses (IANA's special-purpose registries). */
const isPublic = (canonical: string): boolean => {
  const address = ipaddr.parse(canonical)
  if (address.range() !== "unicast" || canonical === azureHost) return false
  return address instanceof ipaddr.IPv4 || address.match(globalUnicast)
}

/** The networks that this machine is in. They change while the service runs, so they are read for each request. */
const ownNetworks = (): ReadonlyArray<string> =>
  Object.values(networkInterfaces()).flatMap((addresses = []) =>
    addresses.flatMap(({ cidr }) => (cidr === null || cidr.endsWith("/0") ? [] : [cidr])),
  )

/** `allowed`: in a network that the operator allows. `public`: any other that may be called. */
export type Reach = "allowed" | "public"

/** Judges the address that a host resolved to. None if it is not called. */
export const makeAddressCheck = (
  { allowedNetworks, blockedNetworks }: AddressRules,
  own: () => ReadonlyArray<string> = ownNetworks,
): ((address: string) => Option.Option<Reach>) => {
  const isAllowed = makeNetworks(allowedNetworks)
  const isBlocked = makeNetworks(blockedNetworks)
  return (text) =>
    Option.flatMap(canonicalAddress(text), (canonical): Option.Option<Reach> => {
      const address = reached(canonical)
      const all = [address, canonical, ...(isUnspecified(address) ? loopback : [])]
      if (all.some(isBlocked)) return Option.none()
      if (isAllowed(address) || isAllowed(canonical)) return Option.some("allowed")
      return isPublic(address) && !makeNetworks(own())(address) ? Option.some("public") : Option.none()
    })
}
