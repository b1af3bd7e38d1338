import { dirname } from "node:path"
import { Option } from "effect"

/**
 * The folder with the native libraries of the optional package sherpa-onnx-node, ONNX Runtime among them. None if the
 * package, or its part for this platform, is not installed. It is not loaded.
 */
export const findSherpa = (): Option.Option<string> => {
  try {
    Bun.resolveSync("sherpa-onnx-node", import.meta.dir)
    const manifest = `sherpa-onnx-${process.platform}-${process.arch}/package.json`
    return Option.some(dirname(Bun.resolveSync(manifest, import.meta.dir)))
  } catch {
    return Option.none()
  }
}
