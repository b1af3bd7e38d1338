import { Option, Predicate } from "effect"

const unescaped = (part: string) => part.replaceAll("~1", "/").replaceAll("~0", "~")

const decoded = Option.liftThrowable(decodeURIComponent)

const stepInto = (value: unknown, part: string): unknown => {
  if (Array.isArray(value)) return value[Number(part)]
  return Predicate.isRecord(value) && Object.hasOwn(value, part) ? value[part] : undefined
}

/** Each schema with a name of its own: `$id` or `$anchor`. */
const namesIn = (root: unknown): ReadonlyMap<string, unknown> => {
  const names = new Map<string, unknown>()
  const open: Array<unknown> = [root]
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (!Predicate.isRecord(value) && !Array.isArray(value)) continue
    open.push(...Object.values(value))
    if (!Predicate.isRecord(value)) continue
    const { $id, $anchor } = value
    if (Predicate.isString($id)) names.set($id.replace(/#$/, ""), value)
    if (Predicate.isString($anchor)) names.set(`#${$anchor}`, value)
  }
  return names
}

/** Finds what a `$ref` of a schema refers to, within the same schema. None: there is no such part. Nothing is fetched. */
export const makeReferences = (root: unknown): ((reference: string) => Option.Option<unknown>) => {
  const found = new Map<string, Option.Option<unknown>>()
  let names: ReadonlyMap<string, unknown> | undefined
  const find = (reference: string): Option.Option<unknown> => {
    names ??= namesIn(root)
    const [document = "", fragment = ""] = reference.split("#", 2)
    const base = document === "" ? root : names.get(document)
    if (fragment === "") return Option.fromNullable(base)
    if (!fragment.startsWith("/")) return Option.fromNullable(names.get(`#${fragment}`))
    return Option.flatMap(decoded(fragment), (pointer) =>
      Option.fromNullable(pointer.slice(1).split("/").map(unescaped).reduce(stepInto, base)),
    )
  }
  return (reference) => {
    const known = found.get(reference) ?? find(reference)
    found.set(reference, known)
    return known
  }
}
