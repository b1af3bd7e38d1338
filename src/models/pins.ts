import { readFile, rename } from "node:fs/promises"
import { join } from "node:path"
import { Option, Schema } from "effect"

/**
 * SHA-256 hashes by `NAME/VERSION/PATH`, of files whose hash the manifest does not have. The first download decides;
 * later ones must have the same hash. They outlive the removal of a model.
 */
export type Pins = Readonly<Record<string, string>>

const Pins = Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.String }))

const fileOf = (folder: string) => join(folder, "pins.json")

/** The pins of a folder of models; none if it has no such file, or a damaged one. */
export const readPins = async (folder: string): Promise<Pins> => {
  const text = await readFile(fileOf(folder), "utf8").catch(() => "{}")
  return Option.getOrElse(Schema.decodeOption(Pins)(text), () => ({}))
}

/** Adds pins. Call it under the store's lock. Rejects if the folder cannot be written to. */
export const addPins = async (folder: string, pins: Pins): Promise<void> => {
  if (Object.keys(pins).length === 0) return
  const all = { ...(await readPins(folder)), ...pins }
  await Bun.write(`${fileOf(folder)}.new`, `${JSON.stringify(all, null, 2)}\n`)
  await rename(`${fileOf(folder)}.new`, fileOf(folder))
}
