import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { type FileModel, findFileModel, type Loader, manifest } from "../../../src/models/manifest.ts"
import { folderOf, type Library } from "../../../src/models/store.ts"
import { fileOf, modelOf } from "../models.ts"
import { tempFolder } from "../temp-folders.ts"

type Files = Readonly<Record<string, Uint8Array>>

interface FakeModel extends Partial<FileModel> {
  readonly name: string
  readonly loader: Loader
  readonly contents: Files
}

/** A new folder with these models installed. `helpers`: names of models of the real manifest, which are in `folders`. */
export const libraryWith = async (
  models: ReadonlyArray<FakeModel>,
  real: { readonly folders: ReadonlyArray<string>; readonly names: ReadonlyArray<string> } = {
    folders: [],
    names: [],
  },
): Promise<Library> => {
  const folder = join(tempFolder("models"), "models")
  const made = models.map(({ contents, ...model }) => {
    const files = Object.entries(contents).map(([path, bytes]) => fileOf(path, bytes, "http://nowhere"))
    const [first, ...more] = files
    if (first === undefined) throw new Error("a model without files")
    return { ...modelOf([first, ...more], model.name), ...model }
  })
  for (const [index, model] of made.entries()) {
    const own = folderOf(folder, model)
    await mkdir(own, { recursive: true })
    for (const [path, bytes] of Object.entries(models[index]?.contents ?? {})) {
      await Bun.write(join(own, path), bytes)
    }
  }
  const helpers = real.names.flatMap((name) => {
    const found = findFileModel(manifest, name)
    return "value" in found ? [found.value] : []
  })
  return { folders: [folder, ...real.folders], manifest: [...helpers, ...made] }
}
