// Makes an element look like a description of it and touches nothing that does so already: focus and scrolling stay.

/** An element to be: nothing in it is ever read as HTML. */
export interface Shape {
  readonly tag: string;
  readonly attributes: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly children: readonly Child[];
}

export type Child = Shape | string | number | false | undefined | readonly Child[];

const SVG = "http://www.w3.org/2000/svg";
/** What a user changes, and attributes do not follow. */
const PROPERTIES: readonly string[] = ["checked", "value", "disabled", "open"];

/** A shape. `key` tells siblings apart that come and go. */
export function h(tag: string, attributes: Shape["attributes"] = {}, ...children: readonly Child[]): Shape {
  return { tag, attributes, children };
}

/** Gives an element these children. */
export function patch(parent: Element, children: readonly Child[]): void {
  const wanted = flat(children);
  removeStale(parent, wanted);
  let at: ChildNode | null = parent.firstChild;
  for (const child of wanted) {
    const found = matching(at, child);
    if (found !== undefined && found === at) at = at.nextSibling;
    const node = found ?? made(parent, child);
    if (node.nextSibling !== at || node.parentNode !== parent) parent.insertBefore(node, at);
    if (typeof child === "object") update(node as Element, child);
    else if ((node as Text).data !== child) (node as Text).data = child;
  }
  while (at !== null) {
    const next: ChildNode | null = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** Takes out what has a key that is wanted no more: then those behind it need not be moved, which would cost the focus. */
function removeStale(parent: Element, wanted: readonly (Shape | string)[]): void {
  const keys = new Set(wanted.map((child) => (typeof child === "string" ? undefined : keyOf(child))));
  for (const element of Array.from(parent.children)) {
    const key = element.getAttribute("key");
    if (key !== null && !keys.has(key)) element.remove();
  }
}

function keyOf({ attributes }: Shape): string | undefined {
  const { key } = attributes;
  return key === undefined ? undefined : String(key);
}

function flat(children: readonly Child[]): readonly (Shape | string)[] {
  return children.flatMap((child): readonly (Shape | string)[] => {
    if (child === false || child === undefined || child === "") return [];
    if (Array.isArray(child)) return flat(child as readonly Child[]);
    return [typeof child === "number" ? String(child) : (child as Shape | string)];
  });
}

/** The node from `at` on that can become this; of those with a key, the one with the same. */
function matching(at: ChildNode | null, child: Shape | string): ChildNode | undefined {
  if (typeof child === "string") return at instanceof Text ? at : undefined;
  const key = keyOf(child);
  if (key === undefined) return isLike(at, child, undefined) ? at : undefined;
  for (let node = at; node !== null; node = node.nextSibling) if (isLike(node, child, key)) return node;
  return undefined;
}

function isLike(node: ChildNode | null, { tag }: Shape, key: string | undefined): node is Element {
  return node instanceof Element && node.localName === tag && (node.getAttribute("key") ?? undefined) === key;
}

function made(parent: Element, child: Shape | string): ChildNode {
  if (typeof child === "string") return document.createTextNode(child);
  const isSvg = child.tag === "svg" || parent.namespaceURI === SVG;
  return isSvg ? document.createElementNS(SVG, child.tag) : document.createElement(child.tag);
}

function update(element: Element, { attributes, children }: Shape): void {
  for (const name of element.getAttributeNames())
    if (attributes[name] === undefined || attributes[name] === false) element.removeAttribute(name);
  for (const [name, value] of Object.entries(attributes)) {
    if (PROPERTIES.includes(name) && name in element) {
      const target = element as unknown as Record<string, unknown>;
      if (target[name] !== value) target[name] = value;
    } else if (value !== undefined && value !== false) {
      const text = value === true ? "" : String(value);
      if (element.getAttribute(name) !== text) element.setAttribute(name, text);
    }
  }
  patch(element, children);
}
