import { toToolName } from "../../providers/tools.ts"

/** The name of a server's tool for the model: `server__tool`, in characters that servers accept. */
export const prefixedName = (server: string, tool: string): string => toToolName(`${server}__${tool}`)
