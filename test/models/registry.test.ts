import { describe, expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { Redacted } from "effect"
import { npmSettings, tarballOf } from "../../src/models/registry.ts"
import { tempFolder } from "../support/temp-folders.ts"

const pack = { package: "@scope/pack", version: "1.2.3", size: 1, integrity: "", path: "file" }
const plain = { ...pack, package: "pack" }

interface Given {
  readonly user?: string
  readonly project?: string
  readonly env?: Readonly<Record<string, string>>
}

const settingsOf = ({ user = "", project = "", env = {} }: Given) => {
  const [home, folder] = [tempFolder("models"), tempFolder("models")]
  writeFileSync(join(home, ".npmrc"), user)
  writeFileSync(join(folder, ".npmrc"), project)
  return npmSettings({ HOME: home, ...env }, folder)
}

const locate = async (given: Given, source = pack) => {
  const { url, authorization } = tarballOf(await settingsOf(given), source)
  return [url, authorization === undefined ? undefined : Redacted.value(authorization)]
}

describe("registry", () => {
  test("npm's own by default", async () => {
    expect(await locate({})).toEqual(["https://registry.npmjs.org/@scope/pack/-/pack-1.2.3.tgz", undefined])
    expect(await locate({}, plain)).toEqual(["https://registry.npmjs.org/pack/-/pack-1.2.3.tgz", undefined])
  })

  test("the environment before the project before the user", async () => {
    const [user, project] = ["registry=http://user.test", "registry = http://project.test/path/\n"]
    const env = { npm_config_registry: "http://env.test/" }
    const urlOf = async (given: Given) => (await locate(given, plain))[0]
    expect(await urlOf({ user })).toBe("http://user.test/pack/-/pack-1.2.3.tgz")
    expect(await urlOf({ user, project })).toBe("http://project.test/path/pack/-/pack-1.2.3.tgz")
    expect(await urlOf({ user, project, env })).toBe("http://env.test/pack/-/pack-1.2.3.tgz")
    expect(await urlOf({ user, env: { NPM_CONFIG_REGISTRY: "http://env.test" } })).toStartWith(
      "http://env.test/",
    )
    expect(await urlOf({ user, env: { npm_config_registry: "" } })).toStartWith("http://user.test/")
  })

  test("of a scope", async () => {
    const user = "@scope:registry=http://scope.test/npm\nregistry=http://all.test"
    expect((await locate({ user }))[0]).toBe("http://scope.test/npm/@scope/pack/-/pack-1.2.3.tgz")
    expect((await locate({ user }, plain))[0]).toBe("http://all.test/pack/-/pack-1.2.3.tgz")
  })

  test("another user's file", async () => {
    const file = join(tempFolder("models"), "npmrc")
    writeFileSync(file, "registry=http://file.test")
    expect((await locate({ env: { npm_config_userconfig: file } }, plain))[0]).toStartWith(
      "http://file.test/",
    )
    expect((await locate({ env: { npm_config_userconfig: "/nowhere" } }, plain))[0]).toStartWith(
      "https://registry",
    )
  })

  test("comments, quotes and variables", async () => {
    const user = `; registry=http://a.test\n# registry=http://b.test\n[section]\r\nregistry="\${BASE}/npm"\r\n`
    expect((await locate({ user, env: { BASE: "http://c.test" } }, plain))[0]).toStartWith(
      "http://c.test/npm/pack",
    )
  })
})

describe("credentials", () => {
  const registry = "registry=https://host.test:8443/path/npm\n"

  test("a token of the longest path", async () => {
    const user = `${registry}//host.test:8443/path/:_authToken=wide\n//host.test:8443/path/npm/:_authToken=\${TOKEN}`
    expect((await locate({ user, env: { TOKEN: "narrow" } }))[1]).toBe("Bearer narrow")
    expect((await locate({ user: `${registry}//host.test:8443/:_authToken=host` }))[1]).toBe("Bearer host")
  })

  test("a password", async () => {
    expect((await locate({ user: `${registry}//host.test:8443/path/npm/:_auth=dTpw` }))[1]).toBe("Basic dTpw")
    const user = `${registry}//host.test:8443/path/npm/:username=u\n//host.test:8443/path/npm/:_password=cA==`
    expect((await locate({ user }))[1]).toBe("Basic dTpw")
  })

  test("of another host or path are not sent", async () => {
    for (const place of [
      "host.test",
      "other.test:8443/path/npm",
      "host.test:8443/path/np",
      "host.test:8443/path/npm/x",
    ]) {
      expect((await locate({ user: `${registry}//${place}/:_authToken=secret` }))[1]).toBeUndefined()
    }
    expect((await locate({ user: `${registry}_authToken=secret` }))[1]).toBeUndefined()
  })
})
