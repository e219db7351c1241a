/** Times and durations in words: in the zone that the viewer has chosen in Airflow, else in that of the browser. */

export const LOCALE = navigator.language?.startsWith("en") ? navigator.language : "en-GB";

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Making a format costs more than using it, and a page has hundreds of times. */
const formats = new Map();

function made(key, make) {
  if (!formats.has(key)) formats.set(key, make());
  return formats.get(key);
}

/** The zone that the viewer has chosen in Airflow, if it is one; undefined stands for the browser's. */
function zone() {
  let chosen = null;
  try {
    chosen = localStorage.getItem("timezone")?.replaceAll('"', "");
  } catch {
    return undefined; // storage is switched off
  }
  return chosen ? made(`zone ${chosen}`, () => known(chosen)) : undefined;
}

function known(name) {
  try {
    return Intl.DateTimeFormat(LOCALE, { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return undefined; // a name that no browser knows
  }
}

/** "Mon, 30 Nov 2026, 07:15 CET": for those who want it exactly. */
export function moment(iso) {
  return format(iso, {
    weekday: "short",
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    timeZoneName: "short",
  });
}

/** "Mon 30 Nov, 07:15". */
export function day(iso) {
  return format(iso, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
}

/** "07:15". */
export function clock(iso) {
  return format(iso, { hour: "2-digit", minute: "2-digit" });
}

function format(iso, options) {
  const timeZone = zone();
  const key = JSON.stringify([timeZone, options]);
  const make = () => Intl.DateTimeFormat(LOCALE, { hourCycle: "h23", timeZone, ...options });
  return made(key, make).format(new Date(iso));
}

/** Seconds from one time to another, of which each is an ISO string or a number of milliseconds. */
export function secondsBetween(earlier, later) {
  return (new Date(later) - new Date(earlier)) / 1000;
}

/** "45 s", "4 min 10 s", "1 h 12 min", "3 days 4 h". */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return two(whole, MINUTE, "min", 1, "s");
  if (whole < DAY) return two(whole, HOUR, "h", MINUTE, "min");
  return two(whole, DAY, whole < 2 * DAY ? "day" : "days", HOUR, "h");
}

function two(whole, large, name, small, smallName) {
  const rest = Math.floor((whole % large) / small);
  return `${count(Math.floor(whole / large))} ${name}${rest ? ` ${rest} ${smallName}` : ""}`;
}

/** The largest unit alone: "45 s", "4 min", "7 h", "3 days". */
export function roughly(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)} min`;
  if (whole < 2 * DAY) return `${Math.floor(whole / HOUR)} h`;
  return `${count(Math.floor(whole / DAY))} days`;
}

/** "7 h ago" or "in 18 h". */
export function relative(iso, now) {
  const seconds = secondsBetween(iso, now);
  return seconds >= 0 ? `${roughly(seconds)} ago` : `in ${roughly(-seconds)}`;
}

/** As `relative`, of what has happened: a clock that differs from ours does not put it into the future. */
export function past(iso, now) {
  return relative(iso, Math.max(now, new Date(iso)));
}

/** A whole number with thousands separators. */
export function count(number) {
  return made("count", () => Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 })).format(number);
}
