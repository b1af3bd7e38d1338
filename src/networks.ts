import { BlockList, isIP, isIPv4 } from "node:net"
import { Option } from "effect"
import ipaddr from "ipaddr.js"

/**
 * An address in its canonical form, without a zone, and an IPv4-mapped IPv6 address as IPv4. None if the text is no address.
 * ipaddr.js alone takes 1 for 0.0.0.1, and 010.0.0.1 for 8.0.0.1.
 */
export const canonicalAddress = (text: string): Option.Option<string> => {
  const address = text.replace(/%.*$/, "")
  return isIP(address) === 0 ? Option.none() : Option.some(ipaddr.process(address).toString())
}

/** Whether a canonical address is in one of these addresses and networks, such as 10.0.0.0/8. */
export const makeNetworks = (networks: ReadonlyArray<string>): ((address: string) => boolean) => {
  const list = new BlockList()
  const family = (address: string) => (isIPv4(address) ? "ipv4" : "ipv6")
  for (const network of networks) {
    const [address = "", bits] = network.split("/")
    if (bits === undefined) list.addAddress(address, family(address))
    else list.addSubnet(address, Number(bits), family(address))
  }
  return (address) => list.check(address, family(address))
}
