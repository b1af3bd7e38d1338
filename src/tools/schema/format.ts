import { isIPv4, isIPv6 } from "node:net"

/** Longer texts have none of these formats, and cost nothing. */
const maxLength = 2048

const isDate = (text: string) => {
  const [, year, month, day] = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text) ?? []
  const time = Date.UTC(Number(year), Number(month) - 1, Number(day))
  // The year 0 to 99 would be in the 20th century.
  return (
    day !== undefined &&
    new Date(time).getUTCDate() === Number(day) &&
    new Date(time).getUTCMonth() === Number(month) - 1
  )
}

const isTime = (text: string) =>
  /^([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(z|[+-]([01]\d|2[0-3]):[0-5]\d)$/i.test(text)

/** The formats that are checked. Their expressions cannot go back, so that each is linear. */
const formats: Readonly<Record<string, (text: string) => boolean>> = {
  date: isDate,
  time: isTime,
  "date-time": (text) => /^.{10}[tT ]/.test(text) && isDate(text.slice(0, 10)) && isTime(text.slice(11)),
  email: (text) => /^[^\s@]+@[^\s@.]+(\.[^\s@.]+)*$/.test(text),
  uuid: (text) => /^[\da-f]{8}-([\da-f]{4}-){3}[\da-f]{12}$/i.test(text),
  ipv4: isIPv4,
  ipv6: isIPv6,
  uri: (text) => URL.canParse(text),
}

/** True also for a format that is not known: it says something to the model only. */
export const hasFormat = (format: string, text: string): boolean =>
  !Object.hasOwn(formats, format) || (text.length <= maxLength && (formats[format]?.(text) ?? true))
