/** Elements, and how a page changes into a newer one. Text from outside becomes text nodes and attributes, never HTML. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an HTML element.
 * @param {string} tag
 * @param {Object} attributes null and false leave one out, true makes an empty one; `key` tells siblings apart
 * @param {...*} children nodes, texts and numbers, in any nesting; null and false are left out
 */
export function h(tag, attributes, ...children) {
  return build(document.createElement(tag), attributes, children);
}

/** Make an SVG element; as `h`. */
export function svg(tag, attributes, ...children) {
  return build(document.createElementNS(SVG, tag), attributes, children);
}

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name === "key" ? "data-key" : name, value === true ? "" : String(value));
  }
  element.append(...nodes(children));
  return element;
}

/** Flatten what `h` takes as children into nodes. */
function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false && child !== "")
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

/**
 * Change the children of an element into the wanted ones. What stays alike stays the same element, so that focus,
 * selection, scroll positions and opened details outlast it.
 * @param {Element} parent
 * @param {...*} wanted as the children of `h`
 */
export function update(parent, ...wanted) {
  const focused = document.activeElement;
  merge(parent, nodes(wanted));
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
}

function merge(parent, wanted) {
  const keyed = new Map([...parent.children].filter(keyOf).map((child) => [keyOf(child), child]));
  let here = parent.firstChild;
  for (const node of wanted) {
    const there = keyOf(node) ? keyed.get(keyOf(node)) : here;
    if (!there || !alike(there, node)) {
      parent.insertBefore(node, here);
      continue;
    }
    if (there === here) here = here.nextSibling;
    else parent.insertBefore(there, here);
    patch(there, node);
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

function keyOf(node) {
  return node.dataset?.key;
}

function alike(one, other) {
  return one.nodeName === other.nodeName && keyOf(one) === keyOf(other);
}

function patch(there, node) {
  if (there.nodeType !== Node.ELEMENT_NODE) {
    if (there.nodeValue !== node.nodeValue) there.nodeValue = node.nodeValue;
    return;
  }
  for (const { name, value } of [...node.attributes]) {
    if (there.getAttribute(name) !== value) there.setAttribute(name, value);
  }
  for (const { name } of [...there.attributes]) {
    // What a person has opened or closed is theirs.
    if (!node.hasAttribute(name) && !(name === "open" && there.nodeName === "DETAILS")) there.removeAttribute(name);
  }
  merge(there, [...node.childNodes]);
}
