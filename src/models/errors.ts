import { Schema } from "effect"

const message = { message: Schema.String }

/** No model has this name. */
export class UnknownModel extends Schema.TaggedError<UnknownModel>()("UnknownModel", message) {}

/** A file of an installed model is missing or has other bytes than the manifest says. Loading it could crash an engine. */
export class ModelDamaged extends Schema.TaggedError<ModelDamaged>()("ModelDamaged", {
  ...message,
  model: Schema.String,
  file: Schema.String,
}) {}

/** The folder of the models cannot be read or written. */
export class StoreUnusable extends Schema.TaggedError<StoreUnusable>()("StoreUnusable", message) {}
