/** The machine's ffmpeg and ffprobe, to make fixtures and to check what a server sent. */
import { mkdtemp, rename, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

const FFMPEG = process.env.FFMPEG_PATH ?? "ffmpeg"
const FFPROBE = process.env.FFPROBE_PATH ?? "ffprobe"

const run = async (command: readonly string[], input: Uint8Array = new Uint8Array()) => {
  const child = Bun.spawn([...command], { stdin: input, stdout: "pipe", stderr: "pipe" })
  const [out, log, code] = await Promise.all([child.stdout.bytes(), child.stderr.text(), child.exited])
  return { out, log: log.trim(), code }
}

/** A folder that exists while `use` runs. */
export const withTempDir = async <A>(use: (dir: string) => Promise<A>): Promise<A> => {
  const dir = await mkdtemp(join(tmpdir(), "voice-agent-test-"))
  try {
    return await use(dir)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/**
 * What ffmpeg made of bytes: a start costs 0.06 s of CPU, and tests make the same fixtures, and decode the same answers,
 * again and again.
 */
const made = new Map<string, Promise<Uint8Array>>()

/** In bytes. Larger outputs are rare, and not kept in memory. */
const largestKept = 1024 ** 2

/** The folder in which the workers of one `bun run check` share what ffmpeg made, by the hash of what it was made of. */
const shared = process.env.TEST_FIXTURES

/** Renamed at the end, so that no worker reads a part of a file. */
const share = async (path: string, output: Uint8Array) => {
  const partial = `${path}.${process.pid}`
  await Bun.write(partial, output)
  await rename(partial, path)
}

const makeOrRead = async (name: string, make: () => Promise<Uint8Array>): Promise<Uint8Array> => {
  if (shared === undefined) return make()
  const path = join(shared, name)
  if (await Bun.file(path).exists()) return Bun.file(path).bytes()
  const output = await make()
  await share(path, output)
  return output
}

/** The output for these arguments and this input, as a copy that the caller may change. */
const once = async (
  args: readonly string[],
  input: Uint8Array,
  make: () => Promise<Uint8Array>,
): Promise<Uint8Array> => {
  const name = new Bun.CryptoHasher("sha256").update(JSON.stringify(args)).update(input).digest("hex")
  const running = made.get(name) ?? makeOrRead(name, make)
  made.set(name, running)
  try {
    const output = await running
    if (output.length > largestKept) made.delete(name)
    return new Uint8Array(output)
  } catch (error) {
    made.delete(name)
    throw error
  }
}

/**
 * Runs ffmpeg with `input` on stdin. Returns what it writes to `pipe:1`, the same bytes in every run. The last argument
 * is its output. Throws with its log if it fails.
 */
export const ffmpeg = (args: readonly string[], input?: Uint8Array): Promise<Uint8Array> =>
  // Another output, or an input that is a file, may change between two calls.
  args.at(-1) === "pipe:1" && input !== undefined && args.includes("pipe:0")
    ? once(args, input, () => runFfmpeg(args, input))
    : runFfmpeg(args, input)

const runFfmpeg = async (args: readonly string[], input?: Uint8Array): Promise<Uint8Array> => {
  // Without this, the serial number of an OGG and the ids of a WebM are random.
  const same = [...args.slice(0, -1), "-fflags", "+bitexact", ...args.slice(-1)]
  const { out, log, code } = await run([FFMPEG, "-hide_banner", "-v", "error", "-y", ...same], input)
  if (code !== 0) throw new Error(`ffmpeg ${args.join(" ")}: ${log}`)
  return out
}

/** Like `ffmpeg`, for formats that seek in their output: writes `name` in a temporary folder and reads it. */
export const ffmpegToFile = (
  args: readonly string[],
  name: string,
  input?: Uint8Array,
): Promise<Uint8Array> => {
  const make = () =>
    withTempDir(async (dir) => {
      const path = join(dir, name)
      await runFfmpeg([...args, path], input)
      return Bun.file(path).bytes()
    })
  return input !== undefined && args.includes("pipe:0") ? once([...args, name], input, make) : make()
}

export interface Probe {
  /** ffprobe's name of the demuxer, such as "matroska,webm". */
  readonly format: string
  /** The duration in the header, in seconds. Undefined without one. */
  readonly duration: number | undefined
  readonly streams: ReadonlyArray<{
    readonly kind: string
    readonly codec: string
    readonly sampleRate: number | undefined
    readonly channels: number | undefined
  }>
}

/** What ffprobe finds in these bytes. Undefined if they are not media. */
export const probe = (bytes: Uint8Array): Promise<Probe | undefined> =>
  withTempDir(async (dir) => {
    const path = join(dir, "probed")
    await Bun.write(path, bytes)
    const show = [
      "-v",
      "error",
      "-of",
      "json",
      "-show_format",
      "-show_streams",
      "-protocol_whitelist",
      "file",
    ]
    const { out, code } = await run([FFPROBE, ...show, path])
    if (code !== 0) return undefined
    const found: unknown = JSON.parse(new TextDecoder().decode(out))
    const format = field(found, "format")
    const duration = field(format, "duration")
    const streams = field(found, "streams")
    return {
      format: String(field(format, "format_name")),
      duration: duration === undefined ? undefined : Number(duration),
      streams: (Array.isArray(streams) ? streams : []).map((stream: unknown) => ({
        kind: String(field(stream, "codec_type")),
        codec: String(field(stream, "codec_name")),
        sampleRate: numberOf(field(stream, "sample_rate")),
        channels: numberOf(field(stream, "channels")),
      })),
    }
  })

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined

const numberOf = (value: unknown) => (value === undefined ? undefined : Number(value))

export interface Decoded {
  /** Mono. */
  readonly samples: Int16Array
  /** ffmpeg's warnings and errors; empty for a clean file. */
  readonly log: string
  readonly exitCode: number
}

/**
 * Decodes to mono samples at `rate` Hz (default: 24 kHz), from a pipe, as a player does with a stream. From a file,
 * ffmpeg also honours the padding that an Info frame declares at the end. Raw PCM needs
 * `inputArgs: ["-f", "s16le", "-ar", "24000", "-ac", "1"]`.
 */
export const decode = async (
  bytes: Uint8Array,
  {
    rate = 24_000,
    inputArgs = [],
    from = "pipe",
  }: {
    readonly rate?: number
    readonly inputArgs?: readonly string[]
    readonly from?: "pipe" | "file"
  } = {},
): Promise<Decoded> => {
  const output = ["-map", "0:a:0", "-f", "s16le", "-ac", "1", "-ar", String(rate), "pipe:1"]
  const make = () =>
    withTempDir(async (dir) => {
      const file = join(dir, "decoded")
      if (from === "file") await Bun.write(file, bytes)
      const input = [...inputArgs, "-i", from === "file" ? file : "pipe:0"]
      const command = [FFMPEG, "-hide_banner", "-v", "warning", ...input, ...output]
      const { out, log, code } = await run(command, from === "file" ? undefined : bytes)
      return Buffer.concat([Buffer.from(`${JSON.stringify({ log, exitCode: code })}\n`), out])
    })
  const made = await once(["decode", from, ...inputArgs, ...output], bytes, make)
  const head = made.indexOf(newLine) + 1
  const { log, exitCode }: Omit<Decoded, "samples"> = JSON.parse(
    new TextDecoder().decode(made.subarray(0, head)),
  )
  const end = made.length - ((made.length - head) % 2)
  return { samples: new Int16Array(made.slice(head, end).buffer), log, exitCode }
}

const newLine = 10
