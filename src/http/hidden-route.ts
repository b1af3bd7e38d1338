import { Predicate } from "effect"
import { noBody } from "./no-body.ts"

/**
 * The hooks of a route that only explains what to use instead, for clients of another protocol. The document and the
 * header Allow do not name it.
 */
export const hidden = { ...noBody, detail: { hide: true } }

export const isHidden = ({ hooks }: { readonly hooks: { readonly detail?: unknown } }): boolean =>
  Predicate.hasProperty(hooks.detail, "hide") && hooks.detail.hide === true
