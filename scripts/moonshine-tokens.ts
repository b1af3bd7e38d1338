/**
 * Makes src/models/files/moonshine-tokens.txt.zst from the unpacked npm package llama-tokenizer-js:
 * `bun scripts/moonshine-tokens.ts FOLDER`. Moonshine has the vocabulary of Llama 2, and sherpa-onnx reads a line per
 * token: its bytes in base64, a space, its number.
 */
import { join, resolve } from "node:path"

/** Unknown, start and end have no text; sherpa-onnx cannot read an empty field. */
const withoutText = 3

const bytesOf = (piece: string, index: number): Uint8Array => {
  const byte = /^<0x([0-9A-F]{2})>$/.exec(piece)?.[1]
  if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16))
  return index < withoutText ? new Uint8Array(1) : new TextEncoder().encode(piece.replaceAll("\u2581", " "))
}

const folder = process.argv[2]
if (folder === undefined) {
  console.error("Usage: bun scripts/moonshine-tokens.ts FOLDER")
  process.exit(2)
}
const { default: tokenizer } = await import(join(resolve(folder), "llama-tokenizer.js"))
const pieces: ReadonlyArray<string> = tokenizer.vocabById
const lines = pieces.map((piece, index) => `${bytesOf(piece, index).toBase64()} ${index}\n`)
const target = new URL("../src/models/files/moonshine-tokens.txt.zst", import.meta.url)
await Bun.write(target, Bun.zstdCompressSync(Buffer.from(lines.join("")), { level: 19 }))
