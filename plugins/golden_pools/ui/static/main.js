/** The page: which view the address names, what is asked for it, and what a person does in it. */

import { openAction } from "./actions.js";
import { read } from "./api.js";
import { h, update } from "./dom.js";
import { failureNotice } from "./failure.js";
import { headline } from "./headline.js";
import { overviewView } from "./overview.js";
import { noPoolView, poolView } from "./pool.js";
import { Poll } from "./poll.js";
import { showAddress, watchLinks } from "./shell.js";
import { outcome } from "./words.js";

const USUAL_SECONDS = 15;

const content = document.getElementById("content");
const notice = document.getElementById("notice");
const news = document.getElementById("news");

/** What the person has chosen in the overview. */
const view = { filter: "", attention: null, sort: null, down: false };

/** By address: what was last loaded, when, and how far the page was scrolled. */
const known = new Map();

let poll = null;
let here = null;
let said = "";

/** What an address after the `#` names. */
function route(hash) {
  const [, kind, pool, runs, run] = hash.replace(/^#/, "").split("/").map(decodeURIComponent);
  if (kind === "pools" && pool) return { hash, pool, run: runs === "runs" && run ? run : null };
  return { hash: "#/", pool: null, run: null };
}

async function load({ pool, run }, signal) {
  if (!pool) return read("overview", signal);
  const path = `pools/${encodeURIComponent(pool)}`;
  const [page, chosen] = await Promise.all([
    read(path, signal),
    run ? read(`${path}/runs/${encodeURIComponent(run)}`, signal) : null,
  ]);
  return { page, chosen, interval_seconds: page.interval_seconds };
}

function render() {
  const { data } = known.get(here.hash) ?? {};
  if (!data) return;
  if (here.pool) update(content, poolView(data.page, data.chosen, Date.now(), USUAL_SECONDS));
  else update(content, overviewView(data, view, Date.now()));
}

function show(place, data) {
  known.set(place.hash, { ...known.get(place.hash), data, at: Date.now() });
  update(notice);
  const first = content.dataset.shown !== place.hash;
  render();
  if (first) arrive(place);
  tell(place, data);
}

/** A new view begins at its heading, or where it was left. */
function arrive(place) {
  const wasElsewhere = "shown" in content.dataset;
  content.dataset.shown = place.hash;
  content.removeAttribute("aria-busy");
  document.title = place.pool ? `${place.pool} - Golden pools` : "Golden pools";
  scrollTo(0, known.get(place.hash)?.scroll ?? 0);
  if (wasElsewhere) content.querySelector("h1")?.focus({ preventScroll: true });
  performance.mark("painted");
}

/** Say aloud what has changed, not that the page was asked again. */
function tell({ pool }, data) {
  const run = data.chosen ?? data.page?.run;
  const text = pool ? (run ? `${pool}: the run is ${outcome(run.outcome)}.` : "") : headline(data.pools);
  if (said && text !== said) news.textContent = text;
  said = text;
}

function fail(place, error, wait) {
  const { data, at } = known.get(place.hash) ?? {};
  if (error.status === 404 && place.pool) {
    update(content, noPoolView(place.pool));
    arrive(place);
    return;
  }
  if (!data) update(content, h("h1", { tabindex: -1 }, place.pool ?? "Golden pools"));
  if (!notice.childElementCount) news.textContent = error.message;
  update(notice, failureNotice(error, at, Date.now(), wait));
}

function go() {
  if (here) known.set(here.hash, { ...known.get(here.hash), scroll: scrollY });
  const place = route(location.hash);
  here = place;
  showAddress();
  said = "";
  poll?.stop();
  const before = known.get(place.hash)?.data;
  if (before) show(place, before);
  else content.setAttribute("aria-busy", "true");
  poll = new Poll(
    (signal) => load(place, signal),
    (data) => show(place, data),
    (error, wait) => fail(place, error, wait),
  );
  poll.now();
}

function onClick({ target }) {
  const button = target.closest("button, a");
  const { sort, attention, action } = button?.dataset ?? {};
  if (sort) sortBy(sort);
  else if (attention) view.attention = view.attention === attention ? null : attention;
  else if (action) openAction(action, known.get(here.hash).data.page, () => poll.now());
  else if (button && "retry" in button.dataset) poll.now();
  else return;
  if (sort || attention) render();
}

/** Up, then down, then as the server has it. */
function sortBy(column) {
  if (view.sort !== column) Object.assign(view, { sort: column, down: false });
  else if (!view.down) view.down = true;
  else Object.assign(view, { sort: null, down: false });
}

document.addEventListener("click", onClick);
document.addEventListener("input", ({ target }) => {
  if (target.id !== "filter") return;
  view.filter = target.value;
  render();
});
document.querySelector("[data-skip]").addEventListener("click", (event) => {
  event.preventDefault(); // the address after the # names the view
  content.focus();
});
addEventListener("hashchange", go);
watchLinks();
go();
