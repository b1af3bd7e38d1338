import { ParseError, ValidationError } from "elysia"
import { MethodNotAllowed, PathNotFound, ValidationFailed } from "./errors.ts"
import { type Problem, toProblem } from "./problems.ts"
import { Refused } from "./run.ts"

export interface Route {
  readonly method: string
  readonly path: string
}

/** As Elysia routes: a slash at the end means nothing. */
const partsOf = (path: string) => path.replace(/\/$/, "").split("/")

const matches = (pattern: ReadonlyArray<string>, parts: ReadonlyArray<string>) =>
  pattern.length === parts.length &&
  pattern.every((part, i) => (part.startsWith(":") ? parts[i] !== "" : part === parts[i]))

/** Elysia answers 404 for a path that it knows by another method. */
export const unknownRoute = (routes: ReadonlyArray<Route>, path: string): Problem => {
  const parts = partsOf(path)
  const methods = routes.filter((route) => matches(partsOf(route.path), parts)).map(({ method }) => method)
  if (methods.length === 0) return toProblem(new PathNotFound())
  // Where there is something to GET there is its HEAD, and any path may be asked for its OPTIONS.
  const allowed = [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"].toSorted()
  return toProblem(new MethodNotAllowed({ allowed }))
}

/** The first thing that is wrong, by the name of its field. */
const wrongField = (error: ValidationError): Problem => {
  const [first] = error.all
  const path = first !== undefined && "path" in first ? first.path : "root"
  const what = first?.summary ?? "is not what is expected here"
  return toProblem(
    new ValidationFailed({ message: `${path === "root" ? error.type : path}: ${what.slice(0, 200)}` }),
  )
}

/** What an error that reached Elysia is answered with; undefined for a defect. */
export const problemOf = (error: unknown): Problem | undefined => {
  // Elysia wraps what its parse hooks throw.
  if (error instanceof ParseError) return problemOf(error.cause)
  if (error instanceof Refused) return error.problem
  return error instanceof ValidationError ? wrongField(error) : undefined
}
