/** A Content-Type in lower case, without its quotes. */
export interface MediaType {
  /** Such as `audio/mpeg`; "" if there is none. */
  readonly name: string
  readonly parameters: ReadonlyMap<string, string>
}

export const parseMediaType = (header: string | null): MediaType => {
  const [name = "", ...rest] = (header ?? "").toLowerCase().split(";")
  const parameters = rest.map((each): [string, string] => {
    const [key = "", value = ""] = each.split("=")
    return [key.trim(), value.trim().replaceAll('"', "")]
  })
  return { name: name.trim(), parameters: new Map(parameters) }
}
