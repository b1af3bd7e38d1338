import { promises as dns } from "node:dns"
import { isIP } from "node:net"
import { Either, Option } from "effect"
import { type AddressRules, makeAddressCheck, type Reach } from "./address.ts"
import { AddressRefused, HostNotFound, OutboundTimeout, UrlRefused } from "./errors.ts"

/** All addresses of a host. Rejects if there are none. */
export type Resolve = (host: string) => Promise<ReadonlyArray<string>>

/** As the operating system does, so that names of containers and of /etc/hosts are found. */
export const resolveHost: Resolve = async (host) =>
  (await dns.lookup(host, { all: true })).map(({ address }) => address)

export interface TargetRules {
  readonly reachOf: (address: string) => Option.Option<Reach>
  readonly isHttpAllowed: boolean
  readonly resolve: Resolve
  /** For the name, in ms. */
  readonly connectMs: number
}

/** A URL that may be called, and the addresses to connect to: those that were checked, so no name is resolved again. */
export interface Target {
  readonly url: URL
  readonly host: string
  readonly addresses: ReadonlyArray<string>
}

const refuse = (reason: string) => Either.left(new UrlRefused({ reason }))

/** What can be judged without its address. URL reads hosts such as 2130706433 and 0x7f.1 as the addresses that they are. */
const parseTargetUrl = (text: string): Either.Either<URL, UrlRefused> => {
  if (!URL.canParse(text)) return refuse("is not valid")
  const url = new URL(text)
  if (url.protocol !== "https:" && url.protocol !== "http:") return refuse("must start with https://")
  if (url.username !== "" || url.password !== "") {
    return refuse("must have no user name and password. Send them in a header")
  }
  return Either.right(url)
}

/** Below 1024, only web servers: a request could be read as a mail or a command there. */
const isWebPort = ({ port }: URL) => port === "" || port === "80" || port === "443" || Number(port) >= 1024

/** All addresses of a host. A look-up cannot be ended, but its result is not waited for. */
const lookUp = async (
  host: string,
  { resolve, connectMs }: TargetRules,
  signal: AbortSignal,
): Promise<ReadonlyArray<string>> => {
  const { promise: given, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason)
  const timer = setTimeout(
    () => reject(new OutboundTimeout({ phase: "connect", seconds: connectMs / 1000 })),
    connectMs,
  )
  signal.addEventListener("abort", onAbort)
  try {
    signal.throwIfAborted()
    const found = resolve(host).catch(() => {
      throw new HostNotFound()
    })
    return await Promise.race([found, given])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener("abort", onAbort)
  }
}

const hostOf = ({ hostname }: URL) => hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "")

/** The addresses of a host that are known without a look-up (RFC 6761, section 6.3). */
const knownAddresses = (host: string): ReadonlyArray<string> => {
  if (isIP(host) !== 0) return [host]
  return /(^|\.)localhost$/i.test(host) ? ["127.0.0.1", "::1"] : []
}

/**
 * What is certain of a URL before it is called: completes the sentence "url …". None if it may be called, or if that depends on
 * the addresses of its host.
 */
export const makeUrlCheck = (rules: AddressRules & { readonly isHttpAllowed: boolean }) => {
  const reachOf = makeAddressCheck(rules)
  return (text: string): Option.Option<string> => {
    if (!URL.canParse(text)) return Option.none()
    const url = new URL(text)
    const reaches = knownAddresses(hostOf(url)).map(reachOf)
    if (reaches.some((reach) => Option.contains(reach, "allowed"))) return Option.none()
    if (reaches.length > 0 && reaches.every(Option.isNone)) {
      return Option.some(
        "has an address that is not public, so it is not called; the operator can allow it with OUTBOUND_ALLOWED_NETWORKS",
      )
    }
    // Its host may have an address in a network of the operator's, which may be called in every way.
    if (reaches.length === 0 && rules.allowedNetworks.length > 0) return Option.none()
    if (url.protocol === "http:" && !rules.isHttpAllowed) return Option.some("must start with https://")
    return isWebPort(url) ? Option.none() : Option.some("must have port 80, 443, or one from 1024")
  }
}

/**
 * Finds where a URL leads. Rejects with UrlRefused, AddressRefused, HostNotFound, OutboundTimeout or the reason of the
 * abort.
 */
export const findTarget = async (text: string, rules: TargetRules, signal: AbortSignal): Promise<Target> => {
  const url = Either.getOrThrowWith(parseTargetUrl(text), (error) => error)
  const host = hostOf(url)
  const found = isIP(host) === 0 ? await lookUp(host, rules, signal) : [host]
  const addressesOf = (reach: Reach) =>
    found.filter((address) => Option.contains(rules.reachOf(address), reach))
  const allowed = addressesOf("allowed")
  if (allowed.length > 0) return { url, host, addresses: allowed }
  const addresses = addressesOf("public")
  if (addresses.length === 0) throw Object.assign(new AddressRefused(), { addresses: found })
  if (url.protocol === "http:" && !rules.isHttpAllowed) {
    throw new UrlRefused({ reason: "must start with https://" })
  }
  if (!isWebPort(url)) throw new UrlRefused({ reason: "must have port 80, 443, or one from 1024" })
  return { url, host, addresses }
}
