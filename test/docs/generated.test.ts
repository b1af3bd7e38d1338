import { expect, test } from "bun:test"
import { generatedFiles } from "../../scripts/docs/generated.ts"

test.each(generatedFiles().map(({ path, text }) => [path.split("/").at(-1) ?? path, path, text] as const))(
  "%s is up to date: run `bun run docs`",
  async (_, path, text) => {
    expect(await Bun.file(path).text()).toBe(text)
  },
)
