// The elements around the picture, and what they say. Whatever comes from elsewhere is set as text.

const KEYS = [
  ["Click", "on the object"],
  ["Right click, Shift + click", "beside the object"],
  ["Drag", "a box around the object"],
  ["Arrows, Shift + arrows", "move the cursor by 1 or 10 pixels"],
  ["Enter, Shift + Enter", "click at the cursor: on the object, beside it"],
  ["B", "begin a box at the cursor, and end it"],
  ["Esc", "leave the box that is begun"],
  ["1, 2, 3", "take that candidate"],
  ["Z, Shift + Z", "undo, redo"],
  ["N", "next object: what follows is about another one"],
  ["Page up, Page down", "the next slice of a volume, the one before"],
  ["Wheel, +, −", "zoom"],
  ["0", "fit the whole image"],
  ["Space + drag, middle drag, Ctrl or Alt + arrows", "move the image"],
];

const VERDICTS = {
  accepted: "The guard changed nothing",
  limited: "The guard held back a part",
  repaired: "The guard drew in a click",
  kept: "The guard kept the mask",
};

/** An element; properties are set as such, `data` and `aria` members as attributes, children are elements or text. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

/** All elements of the component, by name; `root` is filled with them. */
export function build(root) {
  const button = (text, title, className = "") => element("button", { type: "button", title, className }, text);
  const parts = {
    file: element("input", { type: "file", accept: "image/*,.tif,.tiff,.nii,.gz", className: "file" }),
    axis: element("select", {}, ...["x", "y", "z"].map((axis) => new Option(axis, axis))),
    index: element("input", { type: "number", min: 0, step: 1, className: "number" }),
    count: element("span"),
    fit: button("Fit", "fit the whole image (0)"),
    out: button("−", "zoom out (−)"),
    zoom: element("output", { "aria-label": "zoom" }, "100 %"),
    in: button("+", "zoom in (+)"),
    undo: button("Undo", "one step back (Z)"),
    redo: button("Redo", "one step forward (Shift + Z)"),
    next: button("Next object", "what follows is about another object (N)"),
    opacity: element("input", { type: "range", min: 0, max: 100, value: 45 }),
    save: button("Save overlay", "the picture with its mask as PNG"),
    canvas: element("canvas", { tabIndex: 0, role: "application", "aria-label": "image to click on; keys are listed below" }),
    place: element("span", { className: "place" }),
    name: element("strong", { className: "name" }),
    status: element("p", { className: "status", role: "status" }, "No image is open."),
    error: element("p", { role: "alert", className: "error", hidden: true }),
    again: button("Try again", "ask the service once more"),
    forget: button("Forget what waits", "leave the clicks that were not answered"),
    key: element("input", { type: "password", autocomplete: "off" }),
    useKey: element("button", {}, "Use this key"),
    candidates: [0, 1, 2].map((n) => button(`${n + 1}`, `take candidate ${n + 1} (${n + 1})`)),
    measures: element("dl"),
    remarks: element("ul", { className: "remarks" }),
    pixel: element("input", { type: "number", min: 0, step: "any", className: "number" }),
    by: element("input", { maxLength: 80, autocomplete: "name" }),
    note: element("textarea", { maxLength: 1000, rows: 2 }),
    accept: button("Accept", "keep this mask", "main"),
    reject: button("Reject", "write down that it is no good"),
    log: element("ol", { className: "log", reversed: true }),
  };
  const label = (text, field) => element("label", {}, text, field);
  parts.stuck = element("p", { className: "row", hidden: true }, parts.again, parts.forget);
  parts.keyForm = element("form", { className: "row", hidden: true }, label("Key of the service", parts.key), parts.useKey);
  parts.slices = element("span", { className: "row", hidden: true, role: "group", "aria-label": "slice" },
    label("Across", parts.axis), label("Slice", parts.index), parts.count);
  parts.size = label("mm per pixel", parts.pixel);
  const keys = KEYS.map(([press, does]) => element("tr", {}, element("th", { scope: "row" }, press), element("td", {}, does)));
  root.append(
    element(
      "div", { className: "bar", role: "group", "aria-label": "tools" },
      element("label", { className: "open" }, "Open a file", parts.file),
      element("span", { className: "row" }, parts.fit, parts.out, parts.zoom, parts.in),
      element("span", { className: "row" }, parts.undo, parts.redo, parts.next),
      parts.slices,
      label("Opacity", parts.opacity), parts.save,
    ),
    element("div", { className: "stage" }, parts.canvas, parts.place),
    element(
      "div", { className: "panel" },
      parts.name, parts.status, parts.error, parts.stuck, parts.keyForm,
      element("div", { className: "row candidates", role: "group", "aria-label": "candidates" }, ...parts.candidates),
      parts.measures, parts.remarks,
      parts.size,
      element("div", { className: "judge", role: "group", "aria-label": "accept or reject" }, label("Your name", parts.by),
        label("Note", parts.note), element("div", { className: "row" }, parts.accept, parts.reject)),
      element("details", {}, element("summary", {}, "Keys"), element("table", {}, element("tbody", {}, ...keys))),
      element("details", { open: true }, element("summary", {}, "Log"), parts.log),
    ),
  );
  return parts;
}

/** Show what is known of the mask; `fields` is null where there is none. */
export function describe(parts, fields, mmPerPixel) {
  const scores = fields?.scores;
  parts.candidates.forEach((one, n) => {
    one.textContent = scores ? `${n + 1} · ${scores[n].toFixed(2)}` : `${n + 1}`;
    one.disabled = !fields;
    one.setAttribute("aria-pressed", String(Boolean(scores) && fields.chosen === n));
  });
  parts.measures.replaceChildren(...(fields ? measuresOf(fields, mmPerPixel) : []));
  const remarks = fields ? [verdictOf(fields), ...(fields.notes ?? []), ...fields.warnings].filter(Boolean) : [];
  parts.remarks.replaceChildren(...remarks.map((text) => element("li", {}, sentence(text))));
}

/** Which slice of a volume is looked at; null where it is none. */
export function showSlice(parts, shape, slice) {
  parts.slices.hidden = !shape;
  parts.size.hidden = Boolean(shape); // a volume tells its own
  if (!shape) return;
  const last = shape["xyz".indexOf(slice.axis)] - 1;
  [parts.axis.value, parts.index.value, parts.index.max] = [slice.axis, slice.index, last];
  parts.count.textContent = `of 0 to ${last}`;
}

/** A line of the log. */
export function logged(parts, text) {
  parts.log.prepend(element("li", {}, text));
  if (parts.log.children.length > 500) parts.log.lastChild.remove();
  parts.log.start = Number(parts.log.dataset.count ?? 0) + 1;
  parts.log.dataset.count = parts.log.start;
}

/** What was asked, in words. */
export function orderText(order) {
  if (order.kind === "click") return `${order.label ? "object" : "beside"} at ${order.x}, ${order.y}`;
  if (order.kind === "box") return `box ${order.box.join(", ")}`;
  return order.kind === "candidate" ? `candidate ${order.candidate + 1}` : order.kind;
}

export const amount = (value, digits = 0) => value.toLocaleString("en", { maximumFractionDigits: digits });

function verdictOf({ verdict }) {
  return verdict && `${VERDICTS[verdict.action] ?? verdict.action}: ${verdict.reason}`;
}

/** Without the word that programs tell it by. */
function sentence(text) {
  const words = text.replace(/^[a-z]+(-[a-z]+)+: /, "");
  return `${words[0].toUpperCase()}${words.slice(1)}${/[.!?]$/.test(words) ? "" : "."}`;
}

function measuresOf(fields, mm) {
  if (fields.spacing_mm || fields.slices !== undefined) return volumeMeasures(fields);
  const both = (pixels, power, unit) =>
    `${amount(pixels, power === 1 ? 1 : 0)} px` +
    (mm > 0 ? ` = ${amount(pixels * mm ** power, 3)} ${unit}` : "");
  const [x0, y0, x1, y1] = fields.mask_box ?? [0, 0, 0, 0];
  const rows = [
    ["Area", both(fields.area, 2, "mm²")],
    ["Perimeter", both(fields.perimeter, 1, "mm")],
    ["Box", fields.mask_box ? `${x1 - x0} × ${y1 - y0} px at ${x0 + 0.5}, ${y0 + 0.5}` : "none"],
    ["Parts", amount(fields.components)],
    ["Score", fields.score.toFixed(2)],
  ];
  if (mm > 0 && fields.mask_box) rows[2][1] += ` = ${amount((x1 - x0) * mm, 3)} × ${amount((y1 - y0) * mm, 3)} mm`;
  if (fields.mask_box) rows[2][1] += `, ${amount(100 * fields.fill)} % of it mask`;
  return rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
}

function volumeMeasures(fields) {
  const rows = [
    ["Volume", `${amount(fields.area)} voxels = ${amount(fields.volume_mm3, 1)} mm³`],
    ["Slices", fields.slices ? `${fields.slices.join(" to ")} across ${fields.axis}` : "none"],
    ["Prompted", fields.prompted?.join(", ") ?? ""],
    ["Parts", amount(fields.components)],
    ["Score", fields.score.toFixed(2)],
  ];
  return rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
}
