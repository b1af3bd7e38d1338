import { describe, expect, test } from "bun:test"
import {
  childrenOf,
  connectionsOf,
  openFiles,
  parseStat,
  parseTcp,
  peerOf,
  proportionalMb,
  socketInode,
} from "../../../scripts/bench/soak/proc.ts"

describe("/proc/PID/stat", () => {
  test("has its name, its parent and its state", () => {
    expect(parseStat("8662 (ffmpeg) S 7142 8662 8662 0 -1 4194560")).toEqual({
      pid: 8662,
      name: "ffmpeg",
      parent: 7142,
      isZombie: false,
    })
  })

  test("tells a process that has ended", () => {
    expect(parseStat("8662 (ffmpeg) Z 7142 0 0").isZombie).toBe(true)
  })

  test("may have spaces and brackets in the name", () => {
    expect(parseStat("9 (a) b (c)) R 4 9 9")).toEqual({
      pid: 9,
      name: "a) b (c)",
      parent: 4,
      isZombie: false,
    })
  })
})

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:C351 0100007F:2328 01 00000000:00000000 00:00000000 00000000     0        0 333 1 0000000000000000 20 4 30 10 -1
   3: 0100007F:C352 0100007F:1538 01 00000000:00000000 00:00000000 00000000     0        0 444 1 0000000000000000 20 4 30 10 -1
   4: 0100007F:C353 0100007F:1538 06 00000000:00000000 03:00000F00 00000000     0        0 0 3 0000000000000000
`

describe("/proc/net/tcp", () => {
  const connections = parseTcp(table)

  test("lists established connections with their ports", () => {
    expect(connections).toEqual([
      { localPort: 8080, remotePort: 50_000, inode: "222" },
      { localPort: 50_001, remotePort: 9000, inode: "333" },
      { localPort: 50_002, remotePort: 5432, inode: "444" },
    ])
  })

  test("tells the peer", () => {
    expect(connections.map((each) => peerOf(each, { own: 8080, upstream: 9000, tools: 9001 }))).toEqual([
      "client",
      "upstream",
      "database",
    ])
  })

  test("tells the server of tools", () => {
    const ports = { own: 8080, upstream: 5432, tools: 9000 }
    expect(connections.map((each) => peerOf(each, ports))).toEqual(["client", "tools", "upstream"])
  })

  test("may be empty", () => {
    expect(parseTcp("  sl  local_address\n")).toEqual([])
    expect(parseTcp("")).toEqual([])
  })
})

test("a descriptor is a socket or not", () => {
  expect(socketInode("socket:[222]")).toBe("222")
  expect(socketInode("pipe:[222]")).toBeUndefined()
  expect(socketInode("/dev/null")).toBeUndefined()
})

describe("this process", () => {
  test("its files, and its connections by peer", async () => {
    const before = openFiles(process.pid).length
    using server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } })
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port: server.port,
      socket: { data: () => undefined },
    })
    const files = openFiles(process.pid)
    expect(files.length).toBeGreaterThan(before)
    const asUpstream = connectionsOf(process.pid, files, { own: 1, upstream: server.port, tools: 2 })
    expect(asUpstream.upstream).toBe(1)
    // This process has the other end too: that of the server.
    expect(connectionsOf(process.pid, files, { own: server.port, upstream: 1, tools: 2 }).client).toBe(1)
    expect(connectionsOf(process.pid, [], { own: server.port, upstream: 1, tools: 2 }).client).toBe(0)
    socket.end()
  })

  test("its memory", () => {
    const mb = proportionalMb(process.pid)
    expect(mb).toBeGreaterThan(1)
    expect(mb).toBeLessThanOrEqual(process.memoryUsage().rss / 1024 / 1024)
    expect(proportionalMb(2 ** 30)).toBeNaN()
  })

  test("its children while they live", async () => {
    const child = Bun.spawn(["sleep", "30"])
    expect(childrenOf(process.pid).map(({ name }) => name)).toContain("sleep")
    child.kill()
    await child.exited
    expect(childrenOf(process.pid).map(({ name }) => name)).not.toContain("sleep")
  })
})
