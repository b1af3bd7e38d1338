import { Option } from "effect"

/** None: the text is not JSON. */
export const parseJson = Option.liftThrowable((text: string): unknown => JSON.parse(text))
