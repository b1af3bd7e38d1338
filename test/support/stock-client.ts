/** Stock clients as processes of their own: a script is bundled with its packages, then run by Node or Bun. */
import { join } from "node:path"
import { Schema } from "effect"

const clients = join(import.meta.dir, "../conformance/clients")

export interface StockClient {
  /** The name of a script in test/conformance/clients. */
  readonly script: string
  readonly runtime: "node" | "bun"
  readonly args?: ReadonlyArray<string>
  readonly env: Record<string, string>
  /** Where the bundle is written. */
  readonly folder: string
}

const bundle = async (script: string, folder: string) => {
  const built = await Bun.build({
    entrypoints: [join(clients, `${script}.ts`)],
    outdir: folder,
    naming: `${script}.mjs`,
    target: "node",
    format: "esm",
  })
  if (!built.success) throw new AggregateError(built.logs, `${script} could not be bundled`)
  return join(folder, `${script}.mjs`)
}

/** Runs a program that prints a report as JSON in one line. Throws whatever else it says: warnings and errors. */
export const runReporting = async <A, I>(
  command: ReadonlyArray<string>,
  env: Record<string, string>,
  report: Schema.Schema<A, I>,
): Promise<A> => {
  const child = Bun.spawn([...command], {
    env: { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  })
  const [output, said, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  const lines = output.trimEnd().split("\n")
  const complaints = `${said}${lines.slice(0, -1).join("\n")}`
  if (code !== 0 || complaints !== "") {
    throw new Error(`${command[0]} ended with ${code}: ${complaints}\n${lines.at(-1)}`)
  }
  return Schema.decodeUnknownSync(Schema.parseJson(report))(lines.at(-1))
}

export const runStockClient = async <A, I>(
  { script, runtime, args = [], env, folder }: StockClient,
  report: Schema.Schema<A, I>,
): Promise<A> =>
  runReporting(
    [runtime === "node" ? "node" : process.execPath, await bundle(script, folder), ...args],
    env,
    report,
  )
