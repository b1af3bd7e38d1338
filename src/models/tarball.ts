import { readFile } from "node:fs/promises"

/**
 * The bytes of one file in a tarball (.tgz); undefined if it has no such file, or a link or folder of that name. Only the
 * exact name counts, and nothing is written, so other entries have no effect whatever their names are. Rejects if it is no
 * tarball.
 */
export const readMember = async (tarball: string, path: string): Promise<Uint8Array | undefined> => {
  const archive = new Bun.Archive(await readFile(tarball))
  // The argument is a pattern; paths of the manifest have no character that means more than itself.
  return (await archive.files(path)).get(path)?.bytes()
}
