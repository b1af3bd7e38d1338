import type { FileModel, Source } from "./manifest.ts"

const originOf = (source: Source): string => {
  if ("npm" in source) return `npm package ${source.npm.package} ${source.npm.version}`
  if ("hub" in source) return `huggingface.co/${source.hub.repository}, commit ${source.hub.revision}`
  return "url" in source ? source.url : "the source of voice-agent, src/models/files"
}

/** The text of the file NOTICE beside a model's files. */
export const noticeOf = ({ name, version, licence, attribution, files }: FileModel): string =>
  [
    `${name} ${version}`,
    "",
    `Made by: ${attribution}`,
    `Licence: ${licence}`,
    "",
    "Files:",
    ...files.map(({ path, sources }) => `  ${path}: ${[...new Set(sources.map(originOf))].join(", or ")}`),
    "",
    "The licence is that of the model. voice-agent, which downloaded it, is under the MIT licence.",
    "",
  ].join("\n")
