/** The tools of the soak's agents: an HTTP tool, built-in ones, and one that the client runs. */

/** Settings of the service that the agents need. */
export const toolSettings = {
  BUILT_IN_TOOLS: "time, memory",
  OUTBOUND_ALLOWED_NETWORKS: "127.0.0.1",
}

/** The tools that the service runs. */
export const served = ["get_weather", "current_time", "remember"] as const

export const clientTool = "open_door"

const schema = (name: string) => ({
  type: "object",
  properties: { [name]: { type: "string" } },
  required: [name],
})

/** The definition of an agent. `url`: of the HTTP tool. */
export const agentOf = (url: string) => ({
  name: "Guide",
  instructions: "You are a guide.",
  tools: [
    {
      type: "http",
      name: "get_weather",
      parameters: schema("city"),
      url: `${url}weather/{city}`,
      isIdempotent: true,
    },
    { type: "builtin", name: "current_time" },
    { type: "builtin", name: "remember" },
    { type: "client", name: clientTool, description: "Opens a door.", parameters: schema("door") },
  ],
})

const given: Readonly<Record<string, object>> = {
  get_weather: { city: "Rome" },
  current_time: { time_zone: "Europe/Rome" },
  remember: { text: "The user likes museums." },
  open_door: { door: "front" },
}

/** The arguments with which the model calls the tool, as JSON. */
export const argumentsOf = (tool: string): string => JSON.stringify(given[tool] ?? {})
