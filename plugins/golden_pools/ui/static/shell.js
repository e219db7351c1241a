/**
 * The way out of the page. Airflow shows it in a sandboxed frame that may neither open windows nor navigate the frame's
 * parent, but may call into it: both have one origin. Opened by its own address the page is an ordinary one.
 */

const AIRFLOW = new URL("..", location.href).href.replace(/\/$/, "");

/** The address of one of Airflow's own paths, such as `/dags/x`; Airflow need not be at its host's root. */
export function address(path) {
  return AIRFLOW + path;
}

/** The window of Airflow around this page; null if it stands alone. */
function shell() {
  try {
    return parent === window || !parent.document ? null : parent;
  } catch {
    return null; // framed by another origin
  }
}

/** Let clicks on `a[data-out]` leave the frame. */
export function watchLinks() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-out]");
    const airflow = shell();
    if (!link || !airflow || event.defaultPrevented) return;
    event.preventDefault();
    const aside = link.target === "_blank" || event.ctrlKey || event.metaKey || event.shiftKey;
    if (aside) click(airflow, { href: link.href, target: "_blank", rel: "noopener noreferrer" });
    else if (link.dataset.out === "load") click(airflow, { href: link.href });
    else visit(airflow, link.href);
  });
}

/** Follow a link of the parent's document, which may do what one of the frame may not. */
function click(airflow, attributes) {
  Object.assign(airflow.document.createElement("a"), attributes).click();
}

/** Go to another page of Airflow as its own router does, without loading Airflow anew. */
function visit(airflow, href) {
  const index = (airflow.history.state?.idx ?? 0) + 1;
  const state = { usr: null, key: crypto.randomUUID?.().slice(0, 8) ?? String(Date.now()), idx: index };
  airflow.history.pushState(state, "", href);
  airflow.dispatchEvent(new airflow.PopStateEvent("popstate", { state }));
}

/** Let Airflow's address bar name the view, so that the address can be kept and sent to others. */
export function showAddress() {
  const airflow = shell();
  if (!airflow?.location.pathname.endsWith(location.pathname)) return;
  const { pathname, search } = airflow.location;
  airflow.history.replaceState(airflow.history.state, "", `${pathname}${search}${location.hash}`);
}

/** The address that a login should come back to. */
export function whereWeAre() {
  return (shell() ?? window).location.href;
}
