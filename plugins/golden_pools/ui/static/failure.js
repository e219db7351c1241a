/** What stands above the page when its server does not answer as it should. */

import { h } from "./dom.js";
import { airflowLink, chip } from "./parts.js";
import { whereWeAre } from "./shell.js";
import { clock, roughly, secondsBetween, span } from "./time.js";
import { sentence } from "./words.js";

/**
 * @param {Refusal} error
 * @param {?number} at when the page last had an answer, milliseconds
 * @param {number} now milliseconds
 * @param {number} wait seconds until the next try
 */
export function failureNotice(error, at, now, wait) {
  if (error.status === 401) return box("You are logged out", login());
  const since = at ? `since ${clock(at)} (${roughly(secondsBetween(at, now))}). What you see is from then.` : "";
  const what =
    { null: "Airflow does not answer", undefined: "This page has a fault" }[error.status] ?? "Airflow cannot show this";
  const reason = error.status === null ? "" : ` ${sentence(error.message)}`;
  return box(
    what,
    ` ${since}${reason} Next try in ${span(wait)}. `,
    h("button", { type: "button", "data-retry": true }, "Try now"),
  );
}

function login() {
  const back = encodeURIComponent(whereWeAre());
  return [
    " What you see may be old. ",
    airflowLink(`/api/v2/auth/login?next=${back}`, { "data-out": "load" }, "Log in again"),
  ];
}

function box(title, ...rest) {
  return h("p", { class: "box warn notice" }, chip("warn", title), ...rest);
}
