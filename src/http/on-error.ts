import { ParseError, ValidationError } from "elysia"
import { MethodNotAllowed, PathNotFound, ValidationFailed } from "./errors.ts"
import { isHidden } from "./hidden-route.ts"
import { type Problem, toProblem } from "./problems.ts"
import { Refused } from "./run.ts"

export interface Route {
  readonly method: string
  readonly path: string
  readonly hooks: { readonly detail?: unknown }
}

/** Elysia ignores a trailing slash. */
const partsOf = (path: string) => path.replace(/\/$/, "").split("/")

const matches = (pattern: ReadonlyArray<string>, parts: ReadonlyArray<string>) =>
  pattern.length === parts.length &&
  pattern.every((part, i) => (part.startsWith(":") ? parts[i] !== "" : part === parts[i]))

/** 404, or 405 for a known path with another method, for which Elysia also returns 404. */
export const unknownRoute = (routes: ReadonlyArray<Route>, path: string): Problem => {
  const parts = partsOf(path)
  const methods = routes
    .filter((route) => !isHidden(route) && matches(partsOf(route.path), parts))
    .map(({ method }) => method)
  if (methods.length === 0) return toProblem(new PathNotFound())
  // Every GET route also answers HEAD, and every path answers OPTIONS.
  const allowed = [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"].toSorted()
  return toProblem(new MethodNotAllowed({ allowed }))
}

/** Names the first invalid field. */
const invalidField = (error: ValidationError): Problem => {
  const [first] = error.all
  const path = first !== undefined && "path" in first ? first.path : "root"
  const reason = first?.summary ?? "is not valid"
  return toProblem(
    new ValidationFailed({ message: `${path === "root" ? error.type : path}: ${reason.slice(0, 200)}` }),
  )
}

/** The response to an error that Elysia caught; undefined for a defect. */
export const problemOf = (error: unknown): Problem | undefined => {
  // Elysia wraps errors of parse hooks.
  if (error instanceof ParseError) return problemOf(error.cause)
  if (error instanceof Refused) return error.problem
  return error instanceof ValidationError ? invalidField(error) : undefined
}
