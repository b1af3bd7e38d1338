import { readFile } from "node:fs/promises"
import { homedir } from "node:os"
import { join } from "node:path"
import { Redacted } from "effect"
import type { NpmSource } from "./manifest.ts"

/** npm's settings by name, such as `registry` or `//host/path/:_authToken`. */
export type NpmSettings = Readonly<Record<string, string>>

const defaultRegistry = "https://registry.npmjs.org"

/** npm replaces `${NAME}` by the variable of the environment, and keeps it as it is if there is none. */
const expand = (text: string, env: NodeJS.ProcessEnv) =>
  text.replaceAll(/\$\{(\w+)\}/g, (whole, name: string) => env[name] ?? whole)

/** The lines `name = value` of an .npmrc. Sections and lists mean nothing to what is read here. */
const parse = (text: string, env: NodeJS.ProcessEnv): NpmSettings =>
  Object.fromEntries(
    text.split(/\r?\n/).flatMap((line) => {
      const [, name, value] = /^\s*([^;#[\s=][^=]*?)\s*=\s*(.*?)\s*$/.exec(line) ?? []
      if (name === undefined || value === undefined) return []
      return [[expand(name, env), expand(value.replace(/^(["'])(.*)\1$/, "$2"), env)]]
    }),
  )

/** The variables `npm_config_NAME`, whose names npm reads in any case. */
const fromEnvironment = (env: NodeJS.ProcessEnv): NpmSettings =>
  Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => {
      const [, setting] = /^npm_config_(.+)$/i.exec(name) ?? []
      if (setting === undefined || value === undefined || value === "") return []
      return [[setting.startsWith("//") ? setting : setting.toLowerCase(), value]]
    }),
  )

/**
 * npm's settings, in npm's order: the environment, .npmrc of the project (the current folder), of the user and of the
 * machine. Files that cannot be read are skipped, as by npm.
 */
export const npmSettings = async (
  env: NodeJS.ProcessEnv = process.env,
  project: string = process.cwd(),
): Promise<NpmSettings> => {
  const own = fromEnvironment(env)
  const files = [
    own.globalconfig,
    own.userconfig ?? join(env.HOME ?? homedir(), ".npmrc"),
    join(project, ".npmrc"),
  ]
  const texts = await Promise.all(
    files.map((file) => (file === undefined ? "" : readFile(file, "utf8").catch(() => ""))),
  )
  return Object.assign({}, ...texts.map((text) => parse(text, env)), own)
}

/** The value of an Authorization header, from the setting of the longest path that begins the URL. */
const authorizationOf = (settings: NpmSettings, url: URL): string | undefined => {
  const parts = `${url.host}${url.pathname}`.split("/")
  for (let length = parts.length; length > 0; length--) {
    const prefix = `//${parts.slice(0, length).join("/")}/`
    const value = (name: string) =>
      settings[`${prefix}:${name}`] ?? settings[`${prefix.slice(0, -1)}:${name}`]
    const token = value("_authToken")
    if (token !== undefined) return `Bearer ${token}`
    const basic = value("_auth")
    if (basic !== undefined) return `Basic ${basic}`
    const [username, password] = [value("username"), value("_password")]
    if (username !== undefined && password !== undefined) {
      return `Basic ${btoa(`${username}:${atob(password)}`)}`
    }
  }
  return undefined
}

/** The URL of a package's tarball in the configured registry, with the registry's credentials. */
export const tarballOf = (settings: NpmSettings, { package: name, version }: NpmSource) => {
  const [scope, base = scope] = name.split("/")
  const registry = (settings[`${scope}:registry`] ?? settings.registry ?? defaultRegistry).replace(/\/+$/, "")
  const url = `${registry}/${name}/-/${base}-${version}.tgz`
  const authorization = URL.canParse(url) ? authorizationOf(settings, new URL(url)) : undefined
  return { url, ...(authorization === undefined ? {} : { authorization: Redacted.make(authorization) }) }
}
