import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import type { Option, Redacted } from "effect"
import type { HubSource, NpmSource } from "./manifest.ts"
import { type NpmSettings, tarballOf } from "./registry.ts"

/** Where a file is fetched. */
export interface Location {
  /** http:, https: or file: */
  readonly url: string
  /** Sent to this URL's origin only, not to the target of a redirect. */
  readonly authorization?: Redacted.Redacted
  /** What to do if the server cannot be reached: the end of a sentence. */
  readonly advice: string
}

/** What decides where files are fetched. */
export interface Origins {
  readonly npm: NpmSettings
  /** The base URL of Hugging Face or of a mirror. */
  readonly hub: string
  /** A folder or a base URL that has all files as the store has them, and replaces all sources. */
  readonly from: Option.Option<string>
}

const offline = "or use --from with a folder or URL that has a copy of another machine's folder of models"

export const ofNpm = ({ npm }: Origins, source: NpmSource): Location => ({
  ...tarballOf(npm, source),
  advice: `set npm_config_registry to a registry that this machine can reach, ${offline}`,
})

export const ofHub = ({ hub }: Origins, { repository, revision, path }: HubSource): Location => ({
  url: `${hub.replace(/\/+$/, "")}/${repository}/resolve/${revision}/${path}`,
  advice: `set HF_ENDPOINT to a mirror of Hugging Face, ${offline}`,
})

export const ofUrl = (url: string): Location => ({ url, advice: offline })

export const ofFile = (path: string): Location => ({
  url: pathToFileURL(path).href,
  advice: "and the folder",
})

/** What `--from` may be: any folder, or a URL of one of these schemes. */
const mirrorUrl = /^(?:https?|file):\/\//i
const anyUrl = /^[a-z][a-z0-9+.-]*:\/\//i

const isUsable = (from: string) => {
  if (from.trim() === "") return false
  if (!anyUrl.test(from)) return true
  if (!mirrorUrl.test(from) || !URL.canParse(from)) return false
  // In file://mnt/models, mnt is the name of a server.
  const { protocol, hostname } = new URL(from)
  return protocol !== "file:" || hostname === ""
}

/** Why `--from` cannot be used; undefined if it can. */
export const mirrorFault = (from: string): string | undefined =>
  isUsable(from)
    ? undefined
    : "--from must be a folder, or an http, https or file URL, such as /mnt/models or file:///mnt/models."

/** The query of an address, such as a signature, stays behind the path. */
const below = (base: string, path: string): string => {
  const url = new URL(base)
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/${path}`
  url.hash = ""
  return url.href
}

/** The file `NAME/VERSION/PATH` below `--from`. */
export const ofMirror = (from: string, path: string): Location => ({
  ...(mirrorUrl.test(from) ? { url: below(from, path) } : ofFile(resolve(from, path))),
  advice: "or choose another source with --from",
})

/** Where files come from, by the environment. */
export const originsOf = (npm: NpmSettings, from: Option.Option<string>): Origins => ({
  npm,
  hub: process.env.HF_ENDPOINT?.trim() || "https://huggingface.co",
  from,
})
