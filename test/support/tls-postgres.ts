/** A PostgreSQL server whose TLS and rules of access a test changes. */
import { chmod, chown, copyFile, stat } from "node:fs/promises"
import { join } from "node:path"
import { SQL } from "bun"
import type { Certificate } from "./certificates.ts"
import { startOwnPostgres } from "./postgres.ts"
import { until } from "./turns.ts"

export interface TlsPostgres {
  /** Of the user `app` with the password `app`, on `localhost`, with these parameters. */
  readonly url: (parameters?: string, part?: { readonly host?: string; readonly password?: string }) => string
  readonly admin: SQL
  /** Restarts nothing: PostgreSQL reads both again. None: no TLS. */
  readonly serve: (
    certificate: Certificate | undefined,
    clients?: "host" | "hostssl" | "hostnossl",
  ) => Promise<void>
  readonly stop: () => Promise<void>
}

export const startTlsPostgres = async (): Promise<TlsPostgres> => {
  const server = await startOwnPostgres()
  const { port, username } = new URL(server.url)
  const admin = new SQL(server.url, { max: 1, tls: false })
  await admin.unsafe("create role app login password 'app'")
  await admin.unsafe("create database app owner app")
  const [{ folder, hba }] =
    await admin`select current_setting('data_directory') as folder, current_setting('hba_file') as hba`
  const { uid, gid } = await stat(folder)
  let number = 0

  const set = (name: string, value: string) => admin.unsafe(`alter system set ${name} = '${value}'`)
  const install = async (certificate: Certificate) => {
    number++
    for (const [setting, from] of [
      ["ssl_cert_file", certificate.certificate],
      ["ssl_key_file", certificate.key],
    ] as const) {
      const to = join(folder, `${number}.${setting}`)
      await copyFile(from, to)
      await chown(to, uid, gid)
      await chmod(to, 0o600)
      await set(setting, to)
    }
  }
  /** A new connection has what the server has read; the one of `admin` reads on its own. */
  const isInForce = async (isOn: boolean) => {
    const fresh = new SQL(server.url, { max: 1, tls: false })
    const [row] = await fresh`select current_setting('ssl') as ssl, current_setting('ssl_cert_file') as file`
    await fresh.close()
    return row.ssl === (isOn ? "on" : "off") && (!isOn || row.file.endsWith(`/${number}.ssl_cert_file`))
  }
  const serve: TlsPostgres["serve"] = async (certificate, clients = "host") => {
    if (certificate !== undefined) await install(certificate)
    await set("ssl", certificate === undefined ? "off" : "on")
    await Bun.write(
      hba,
      [
        `host all ${username} 127.0.0.1/32 scram-sha-256`,
        ...["127.0.0.1/32", "::1/128"].map((address) => `${clients} all app ${address} scram-sha-256`),
      ].join("\n"),
    )
    await admin.unsafe("select pg_reload_conf()")
    await until(() => isInForce(certificate !== undefined), "the server to read its configuration")
  }
  return {
    url: (parameters = "", { host = "localhost", password = "app" } = {}) =>
      `postgres://app:${password}@${host}:${port}/app${parameters}`,
    admin,
    serve,
    stop: async () => {
      await admin.close()
      await server.stop()
    },
  }
}
