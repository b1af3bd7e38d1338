/** `bun run build:client`: builds src/client into dist/client, a package that `npm publish` can publish. */
import { copyFile, mkdir, readdir, rm } from "node:fs/promises"
import { join } from "node:path"
import manifest from "../package.json" with { type: "json" }

const root = join(import.meta.dir, "..")
const source = join(root, "src/client")

const clientManifest = {
  name: "voice-agent-client",
  version: manifest.version,
  description: "A typed client of the voice agent service, for browsers, Bun and Node.",
  license: manifest.license,
  type: "module",
  sideEffects: false,
  engines: { node: ">=20" },
  exports: { ".": { types: "./client.d.ts", default: "./client.js" } },
}

/** tsc rewrites the imports of the JavaScript only. Old compilers do not find "./model.ts" from a declaration. */
const rewriteImports = async (path: string) => {
  const text = await Bun.file(path).text()
  await Bun.write(path, text.replaceAll(/(from "\.\/[\w-]+)\.ts"/g, '$1.js"'))
}

/** Writes the package into `folder`, which is emptied first. */
export const buildClient = async (folder: string): Promise<void> => {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const compiler = Bun.spawn(
    [join(root, "node_modules/.bin/tsc"), "-p", join(source, "tsconfig.build.json"), "--outDir", folder],
    { stdout: "inherit", stderr: "inherit" },
  )
  if ((await compiler.exited) !== 0) throw new Error("the client does not compile")
  const declarations = (await readdir(folder)).filter((name) => name.endsWith(".d.ts"))
  await Promise.all(declarations.map((name) => rewriteImports(join(folder, name))))
  await Bun.write(join(folder, "package.json"), `${JSON.stringify(clientManifest, null, 2)}\n`)
  await copyFile(join(source, "README.md"), join(folder, "README.md"))
  await copyFile(join(root, "LICENSE"), join(folder, "LICENSE"))
}

if (import.meta.main) await buildClient(join(root, "dist/client"))
