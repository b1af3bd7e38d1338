import { Predicate } from "effect"

/**
 * The hooks of a route that only explains what to use instead, for clients of another protocol. The document and the
 * header Allow do not name it.
 */
export const hidden = { parse: () => null, detail: { hide: true } }

export const isHidden = ({ hooks }: { readonly hooks: { readonly detail?: unknown } }): boolean =>
  Predicate.hasProperty(hooks.detail, "hide") && hooks.detail.hide === true
