/** A real PgBouncer in transaction mode, with few connections, in front of a test's database. */
import { chmod } from "node:fs/promises"
import { connect } from "node:net"
import { join } from "node:path"
import { newFolder } from "./process.ts"
import { until } from "./turns.ts"

export const pgbouncerProgram =
  Bun.which("pgbouncer") ?? Bun.which("pgbouncer", { PATH: "/usr/sbin:/usr/local/sbin" })

export interface PgBouncer {
  readonly url: string
  readonly stop: () => Promise<void>
}

const freePort = () => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } })
  const { port } = listener
  listener.stop(true)
  return port
}

const isOpen = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true))
    socket.on("error", () => resolve(false)).on("connect", () => socket.destroy())
  })

export const startPgBouncer = async (databaseUrl: string): Promise<PgBouncer> => {
  const { hostname, port, username, password, pathname } = new URL(databaseUrl)
  const name = pathname.slice(1)
  const folder = newFolder()
  // It refuses to run as root, and gives up root's rights before it reads the file.
  await chmod(folder, 0o755)
  const own = freePort()
  const config = join(folder, "pgbouncer.ini")
  // It takes no empty value.
  const login = password === "" ? `user=${username}` : `user=${username} password=${password}`
  await Bun.write(
    config,
    `[databases]
${name} = host=${hostname} port=${port} ${login}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${own}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 100
`,
  )
  const asUser = process.getuid?.() === 0 ? ["-u", "nobody"] : []
  const child = Bun.spawn([pgbouncerProgram ?? "pgbouncer", ...asUser, config], {
    stdout: "ignore",
    stderr: "ignore",
  })
  await until(() => isOpen(own), "PgBouncer to listen")
  const url = new URL(databaseUrl)
  url.hostname = "127.0.0.1"
  url.port = `${own}`
  return {
    url: url.href,
    stop: async () => {
      child.kill()
      await child.exited
    },
  }
}
