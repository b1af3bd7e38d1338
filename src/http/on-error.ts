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

/** Elysia answers 404 for a path that it knows by another method. */
export const unknownRoute = (routes: ReadonlyArray<Route>, path: string): Problem => {
  const parts = partsOf(path)
  const allowed = routes
    .filter((route) => {
      const pattern = partsOf(route.path)
      return (
        pattern.length === parts.length &&
        pattern.every((part, i) => part.startsWith(":") || part === parts[i])
      )
    })
    .map(({ method }) => method)
  return toProblem(allowed.length === 0 ? new PathNotFound() : new MethodNotAllowed({ allowed }))
}

/** The first thing that is wrong, by the name of its field. */
const wrongField = (error: ValidationError): Problem => {
  const [first] = error.all
  const field = first !== undefined && "path" in first && first.path !== "" ? first.path : error.type
  const what = first?.summary ?? "is not what is expected here"
  return toProblem(new ValidationFailed({ message: `${field.replace(/^\//, "")}: ${what.slice(0, 200)}` }))
}

/** What an error that reached Elysia is answered with; undefined for a defect. */
export const problemOf = (error: unknown): Problem | undefined => {
  // Elysia wraps what its parse hooks throw.
  if (error instanceof ParseError) return problemOf(error.cause)
  if (error instanceof Refused) return error.problem
  return error instanceof ValidationError ? wrongField(error) : undefined
}
