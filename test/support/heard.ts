import { heardMessages } from "../../src/turn/heard-reply.ts"

/** The heard parts of all messages of a reply as one. */
export const heardReply = (...args: Parameters<typeof heardMessages>) => {
  const heard = heardMessages(...args)
  return {
    text: heard
      .map(({ text }) => text)
      .filter((text) => text !== "")
      .join(" "),
    ms: heard.reduce((sum, { ms }) => sum + ms, 0),
  }
}
