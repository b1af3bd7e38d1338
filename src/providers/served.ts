/** What a request is sent to. */
export interface Served {
  /** The name of the model, or of the offline engine. */
  readonly model: string
  /** An engine of this machine, which nobody is paid for. */
  readonly isLocal: boolean
}
