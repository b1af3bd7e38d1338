/**
 * Tests register hundreds of users, and take hundreds of turns, from one address, and benches measure what the service
 * carries, not what it lets through: what is to be limited they turn on.
 */
export const withoutLimits = {
  MAX_TURNS: "0",
  MAX_TURNS_PER_USER: "0",
  MAX_UPLOADS: "0",
  UPLOAD_SPACE_MB: "0",
  RATE_LIMIT_TURNS_PER_MINUTE: "0",
  RATE_LIMIT_REQUESTS_PER_MINUTE: "0",
  RATE_LIMIT_REGISTRATIONS_PER_HOUR: "0",
  RATE_LIMIT_LOGINS_PER_MINUTE: "0",
  RATE_LIMIT_WRONG_KEYS_PER_MINUTE: "0",
}
