// Numbers, times and states as every part of the console shows them.

const DASH = "–";
const SHORT = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const LONG = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});

export function milliseconds(ns) {
  return ns === "" || ns === null || ns === undefined ? null : Number(BigInt(ns) / 1000n) / 1000;
}

// "14 Mar 2026, 10:03:11", or the time alone today.
export function timeText(ms) {
  if (ms === null) return DASH;
  const date = new Date(ms);
  return date.toDateString() === new Date().toDateString() ? SHORT.format(date) : LONG.format(date);
}

// The exact one: in the viewer's zone with its offset, and in UTC to the nanosecond.
export function exactTime(ns) {
  if (!ns) return "";
  const value = BigInt(ns);
  const seconds = value / 1000000000n;
  const fraction = String(value % 1000000000n).padStart(9, "0");
  const date = new Date(Number(seconds) * 1000);
  const minutes = -date.getTimezoneOffset();
  const sign = minutes < 0 ? "-" : "+";
  const pad = (number) => String(Math.floor(number)).padStart(2, "0");
  const offset = `${sign}${pad(Math.abs(minutes) / 60)}:${pad(Math.abs(minutes) % 60)}`;
  const local = new Date(date.getTime() + minutes * 60000).toISOString().slice(0, 19);
  return `${local}.${fraction}${offset}\n${date.toISOString().slice(0, 19)}.${fraction}Z`;
}

export function isoTime(ms) {
  return ms === null || !Number.isFinite(ms) || Math.abs(ms) > 8.64e15 ? undefined : new Date(ms).toISOString();
}

export function agoText(ms, nowMs) {
  if (ms === null) return DASH;
  const seconds = (nowMs - ms) / 1000;
  const s = Math.abs(seconds);
  const text =
    s < 1.5 ? "1 s" : s < 90 ? `${Math.round(s)} s` : s < 5400 ? `${Math.round(s / 60)} min`
    : s < 129600 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} d`;
  return seconds < -1.5 ? `in ${text}` : `${text} ago`;
}

// As many digits as one can read at a glance; the same number of them while a value moves.
export function numberText(value) {
  if (value === null || value === undefined) return DASH;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return DASH;
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e15) return value.toLocaleString("en-US").replaceAll(",", "\u202f");
  if (size !== 0 && (size < 0.001 || size >= 1e7)) return value.toExponential(2).replace("e", "\u202f·10^").replace(/\^\+?(-?\d+)/, (_, n) => superscript(n));
  const decimals = size >= 1000 ? 1 : size >= 1 ? 2 : size >= 0.1 ? 3 : 4;
  return value.toFixed(decimals);
}

function superscript(text) {
  return [...text].map((letter) => "⁰¹²³⁴⁵⁶⁷⁸⁹"["0123456789".indexOf(letter)] ?? "⁻").join("");
}

export function style(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// Calls back whenever the page's colours change; returns what ends that.
export function onTheme(callback) {
  const observer = new MutationObserver(callback);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  return () => observer.disconnect();
}
