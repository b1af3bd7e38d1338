/** This machine. The names and networks that no proxy can reach in its place. */
const loopback = ["localhost", "127.0.0.0/8", "::1", "0.0.0.0"]

type Environment = Record<string, string | undefined>

/**
 * Keeps requests to this machine from HTTP_PROXY: engines, Ollama and collectors run there, and a proxy would look for them
 * on its own machine. Bun makes no exception for it, and reads NO_PROXY on each request. Like Bun, prefers the name in
 * lower case.
 */
export const bypassProxyForLoopback = (environment: Environment): void => {
  const given = environment.no_proxy || environment.NO_PROXY
  const all = [...(given === undefined || given === "" ? [] : [given]), ...loopback].join(",")
  environment.no_proxy = all
  environment.NO_PROXY = all
}
