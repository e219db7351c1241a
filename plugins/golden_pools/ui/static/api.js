/** What the page asks its server, and what it asks Airflow in the name of the person who looks at it. */

import { address } from "./shell.js";

/** An answer that is not the wanted one, or none: `status` is null if the server could not be reached. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** What stands at one of the page's own addresses, such as `overview`. */
export function read(path, signal) {
  return ask(new URL(`api/${path}`, location.href), { signal, cache: "no-store" });
}

/** Whether Airflow lets a DAG run; a run of one that is switched off waits. */
export async function isPaused(dagId) {
  return (await ask(dagAddress(dagId), {})).is_paused;
}

/** Let a DAG run. */
export function switchOn(dagId) {
  return ask(dagAddress(dagId), sending("PATCH", { is_paused: false }));
}

/** Start a run of a DAG; returns its id. */
export async function startRun(dagId, conf) {
  const run = await ask(`${dagAddress(dagId)}/dagRuns`, sending("POST", { logical_date: null, conf }));
  return run.dag_run_id;
}

function dagAddress(dagId) {
  return address(`/api/v2/dags/${encodeURIComponent(dagId)}`);
}

function sending(method, body) {
  return { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

async function ask(url, options) {
  let response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(null, "Airflow cannot be reached.");
  }
  if (response.ok) return response.json();
  throw new Refusal(response.status, await reason(response));
}

/** Airflow's own words: `detail` is a text, or a list of what is wrong with the request. */
async function reason(response) {
  const detail = await response.json().then(
    (body) => body?.detail,
    () => null,
  );
  if (typeof detail === "string" && detail) return detail;
  if (Array.isArray(detail)) return detail.map((fault) => fault.msg ?? JSON.stringify(fault)).join("; ");
  if (detail) return detail.reason ?? JSON.stringify(detail);
  return `Airflow answered ${response.status} ${response.statusText}`.trim();
}
