/** The buttons of a pool. Each shows a dialog that says what will happen, and then starts a run as the person. */

import { h } from "./dom.js";
import { isPaused, startRun, switchOn } from "./api.js";
import { airflowLink } from "./parts.js";
import { past } from "./time.js";
import { sentence, targets } from "./words.js";

const STRATEGIES = {
  in_place: "The pool shrinks to zero nodes, changes its image and grows again: no node works meanwhile.",
  blue_green: "A second pool grows beside the old one, then jobs move to it.",
  recreate: "The pool is deleted and made anew: no node works meanwhile.",
};

/** By button: its name, whether it may be pressed, and what its dialog says, asks and sends. */
const ACTIONS = {
  refresh: {
    name: "Refresh now",
    may: (page) => page.may.trigger,
    says: ({ row }) => [
      "If the golden VM has changed, a new image is made and tried on one node first; then the pool goes onto the newest image.",
      STRATEGIES[row.strategy],
    ],
    asks: () => [checkbox("force_rebuild", "Make a new image though nothing has changed")],
    conf: (form) => ({ force_rebuild: form.force_rebuild.checked }),
  },
  resize: {
    name: "Resize",
    may: (page) => page.may.resize,
    says: ({ row }) => [
      `The pool gets these node counts; its spec wants ${targets(row.target)}. They hold until the next refresh or scale time.`,
    ],
    asks: () => [
      numberField("dedicated", "Dedicated nodes"),
      numberField("spot", "Spot nodes"),
      field("Why", h("input", { name: "why", type: "text", required: true, maxlength: 500 })),
    ],
    dag: (page) => page.resize_dag_id,
    conf: (form, { row }) => ({
      pool: row.pool,
      dedicated: form.dedicated.value === "" ? null : form.dedicated.valueAsNumber,
      spot: form.spot.value === "" ? null : form.spot.valueAsNumber,
      why: form.why.value,
    }),
  },
  back: {
    name: "Roll back",
    may: (page) => page.may.trigger && page.versions.some((version) => !version.current),
    says: ({ row }) => [
      "The pool goes onto an image version that is there; nothing is built. The next run on schedule goes on to the newest good version again.",
      STRATEGIES[row.strategy],
    ],
    asks: (page) => [
      field("Image version", h("select", { name: "version", required: true }, page.versions.map(versionOption))),
      checkbox(
        "force",
        "Force: also a version that is marked bad, and also a pool with active jobs where it is recreated",
      ),
    ],
    conf: (form) => ({ image_version: form.version.value, force: form.force.checked }),
  },
  plan: {
    name: "Plan only",
    may: (page) => page.may.trigger,
    says: () => ["A run says what it would do and to which resources. It writes nothing to Azure."],
    asks: () => [],
    conf: () => ({ plan_only: true }),
  },
};

export function actionButtons(page) {
  const buttons = Object.entries(ACTIONS).filter(([, action]) => page.row.in_airflow && action.may(page));
  if (!buttons.length) return null;
  return h(
    "div",
    { class: "actions", role: "group", "aria-label": `Actions for ${page.row.pool}`, key: "actions" },
    buttons.map(([key, action]) =>
      h("button", { type: "button", "data-action": key, "aria-haspopup": "dialog" }, action.name),
    ),
  );
}

/** Show an action's dialog. */
export async function openAction(key, page, started) {
  const action = ACTIONS[key];
  const dagId = action.dag?.(page) ?? page.row.dag_id;
  const dialog = build(action, page, dagId);
  const form = dialog.querySelector("form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(dialog, form, dagId, action.conf(form.elements, page), started);
  });
  dialog.querySelector("[data-cancel]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  if (await isPaused(dagId).catch(() => false)) {
    dialog
      .querySelector(".asks")
      .append(
        checkbox("switch_on", `${dagId} is switched off. Switch it on, else the run waits until somebody does`, true),
      );
  }
}

function build(action, page, dagId) {
  return h(
    "dialog",
    { "aria-labelledby": "dialog-title", "aria-describedby": "dialog-text" },
    h(
      "form",
      {},
      h("h2", { id: "dialog-title" }, `${action.name}: ${page.row.pool}`),
      h(
        "div",
        { id: "dialog-text" },
        action
          .says(page)
          .filter(Boolean)
          .map((text) => h("p", {}, text)),
      ),
      h("div", { class: "asks" }, action.asks(page)),
      h("p", { class: "muted" }, `Starts a run of ${dagId} in your name.`),
      h("div", { class: "outcome", role: "alert" }),
      h(
        "div",
        { class: "actions" },
        h("button", { type: "submit", class: "primary" }, action.name),
        h("button", { type: "button", "data-cancel": true }, "Cancel"),
      ),
    ),
  );
}

async function submit(dialog, form, dagId, conf, started) {
  const button = form.querySelector("[type=submit]");
  const outcome = form.querySelector(".outcome");
  button.disabled = true;
  outcome.replaceChildren();
  try {
    if (form.elements.switch_on?.checked) await switchOn(dagId);
    const runId = await startRun(dagId, conf);
    const path = `/dags/${dagId}/runs/${encodeURIComponent(runId)}`;
    outcome.append(h("p", { class: "box good" }, "The run has begun: ", airflowLink(path, {}, runId)));
    button.remove();
    dialog.querySelector("[data-cancel]").textContent = "Close";
    started();
  } catch (error) {
    outcome.append(h("p", { class: "box bad" }, `${refused(error)} ${sentence(error.message)}`));
    button.disabled = false;
  }
}

/** What an answer means to the person who pressed the button. */
function refused({ status }) {
  if (status === 401) return "You are no longer logged in; no run has begun.";
  if (status === 403) return "You may not do this; no run has begun.";
  if (status === 409) return "Another run is in the way; no run has begun.";
  return "No run has begun.";
}

function versionOption({ version, id, made_at: madeAt, good, current }) {
  const facts = [
    madeAt ? `made ${past(madeAt, Date.now())}` : "",
    { true: "good", false: "marked bad" }[good] ?? "not tried",
    current ? "on the pool now" : "",
  ];
  return h("option", { value: id, disabled: current }, [version, ...facts.filter(Boolean)].join(" · "));
}

function field(label, control) {
  return h("label", { class: "field" }, h("span", {}, label), control);
}

function numberField(name, label) {
  return field(label, h("input", { name, type: "number", min: 0, step: 1, placeholder: "as the spec says" }));
}

function checkbox(name, label, checked = false) {
  return h("label", { class: "check" }, h("input", { name, type: "checkbox", checked }), ` ${label}`);
}
