/** Helpers for the page's elements. */

/** An element of index.html. Throws if it is missing or of another type. */
export const byId = <T extends HTMLElement>(id: string, type: new () => T): T => {
  const found = document.getElementById(id)
  if (found instanceof type) return found
  throw new Error(`index.html has no ${type.name} with the id ${id}`)
}

export const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement)

type Attributes = Readonly<Record<string, string>>

const fill = <E extends Element>(
  element: E,
  attributes: Attributes,
  children: ReadonlyArray<Node | string>,
): E => {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.append(...children)
  return element
}

/** Creates an element. The content security policy forbids the attribute `style`. */
export const make = <K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: ReadonlyArray<Node | string>
): HTMLElementTagNameMap[K] => fill(document.createElement(tag), attributes, children)

export const draw = <K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: ReadonlyArray<Node | string>
): SVGElementTagNameMap[K] =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children)

/** One of the page's line icons, 24 by 24. */
export const icon = (path: string): SVGElement =>
  draw("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, draw("path", { d: path }))
