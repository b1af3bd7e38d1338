/** Text that needs no escaping. */
export class Html {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

type Part = string | number | Html | undefined | ReadonlyArray<Html>

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }
const asText = (text: string) => text.replace(/[&<>"]/g, (each) => entities[each] ?? each)

const textOf = (part: Part): string => {
  if (part === undefined) return ""
  if (part instanceof Html) return part.text
  return typeof part === "object" ? part.map(({ text }) => text).join("") : asText(`${part}`)
}

/** A template that escapes the strings in it. */
export const html = (strings: TemplateStringsArray, ...parts: ReadonlyArray<Part>): Html =>
  new Html(String.raw({ raw: strings }, ...parts.map(textOf)))

/** `split` gives the text before a link, its own text, its address, and so on. */
const linked = (text: string): ReadonlyArray<Html> =>
  text
    .split(/\[([^\]]+)\]\((https:[^)]+)\)/)
    .flatMap((part, index, parts) =>
      index % 3 === 0
        ? [html`${part}`]
        : index % 3 === 1
          ? [html`<a href="${parts[index + 1]}">${part}</a>`]
          : [],
    )

const bold = (text: string): ReadonlyArray<Html> =>
  text
    .split("**")
    .map((part, index) => (index % 2 === 0 ? html`${linked(part)}` : html`<b>${linked(part)}</b>`))

/** A sentence with `code`, **bold** words and [links](https://example.com). */
export const inline = (text: string): ReadonlyArray<Html> =>
  text.split("`").map((part, index) => (index % 2 === 0 ? html`${bold(part)}` : code(part)))

/** Paragraphs, separated by empty lines. */
export const prose = (text: string): ReadonlyArray<Html> =>
  text === "" ? [] : text.split("\n\n").map((paragraph) => html`<p>${inline(paragraph)}</p>`)

export const code = (text: string): Html => html`<code>${text}</code>`
