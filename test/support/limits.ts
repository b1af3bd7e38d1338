/**
 * Settings that turn limits off. Tests register hundreds of users from one address and run hundreds of turns, and
 * benchmarks measure what the service can carry. A test of a limit turns it on.
 */
export const withoutLimits = {
  MAX_TURNS: "0",
  MAX_TURNS_PER_USER: "0",
  MAX_UPLOADS: "0",
  REALTIME_MAX_SESSIONS: "0",
  REALTIME_MAX_SESSIONS_PER_USER: "0",
  UPLOAD_SPACE_MB: "0",
  RATE_LIMIT_TURNS_PER_MINUTE: "0",
  RATE_LIMIT_REQUESTS_PER_MINUTE: "0",
  RATE_LIMIT_REGISTRATIONS_PER_HOUR: "0",
  RATE_LIMIT_LOGINS_PER_MINUTE: "0",
  RATE_LIMIT_WRONG_KEYS_PER_MINUTE: "0",
}
