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

/** The disk has less free space than the download needs. */
export class DiskFull extends Schema.TaggedError<DiskFull>()("DiskFull", message) {}

/** The server could not be reached, or the connection broke, also after retries. The partial file is kept. */
export class SourceUnreachable extends Schema.TaggedError<SourceUnreachable>()(
  "SourceUnreachable",
  message,
) {}

/** The server refuses the file: no such file, a missing key, or a redirect that is not followed. */
export class SourceRefused extends Schema.TaggedError<SourceRefused>()("SourceRefused", message) {}

/** The server's bytes have another size or hash than the manifest says. */
export class WrongBytes extends Schema.TaggedError<WrongBytes>()("WrongBytes", message) {}

/** Why a download from all of its sources failed; the error is of the last source. */
export type DownloadError = SourceUnreachable | SourceRefused | WrongBytes | DiskFull | StoreUnusable
