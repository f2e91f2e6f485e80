// The component: clicks and boxes on an image, answered with masks by the service at an address.

import { amount, build, describe, element, logged, orderText, showSlice } from "./panel.js";
import { maskOf, overlayOf, pictureOf, together } from "./painting.js";
import { Service, Session } from "./session.js";
import { Stage } from "./stage.js";

const whole = ({ width, height }) => [-0.5, -0.5, width - 0.5, height - 0.5];
const NO_PROMPT = { points: [], labels: [], box: null };

/**
 * @param root element or shadow root, which is filled.
 * @param api address of the service, with a slash at its end.
 * @param onJudged called with `{accept, id, name, by, note, …}` when a mask was accepted or rejected.
 * @param onAgain called when what is not an image's is to be tried again, after `fail`.
 * @returns `{open(source, name), service, fail(error), close()}`; a source is `{image}`, an id of the service's data, or
 *   `{file}`, a Blob.
 */
export function mount(root, { api, onJudged = () => {}, onAgain = () => {} }) {
  const host = element("section", { className: "seglab-canvas", "aria-label": "prompts" });
  root.append(host);
  const parts = build(host);
  const service = new Service(api, () => parts.key.value);
  const stage = new Stage(parts.canvas, {
    click: (at, label) => session.put({ kind: "click", ...at, label }),
    box: (box) => session.put({ kind: "box", box }),
    place: (text) => (parts.place.textContent = text),
    zoom: (zoom) => (parts.zoom.textContent = `${amount(100 * zoom, zoom < 0.1 ? 1 : 0)} %`),
  });
  let session = null;
  let opened = null; // what `open` was given
  let mask = null; // of the newest answer that was painted
  let accepted = new Map(); // the mask of each object of an image that was accepted, so that it is seen what is done
  let kept = null; // all of them as one
  let fields = null; // with it; null where nothing is shown
  let waiting = [];
  let last = Promise.resolve(); // what is told is dealt with one after the other: a mask takes time to be read

  function enable() {
    const open = Boolean(stage.picture);
    const busy = waiting.length > 0;
    for (const one of [parts.fit, parts.in, parts.out, parts.next, parts.save]) one.disabled = !open;
    parts.undo.disabled = !(open && (busy || session.fields.undo > 0));
    parts.redo.disabled = !(open && (busy || session.fields.redo > 0));
    parts.accept.disabled = parts.reject.disabled = !(open && (busy || fields));
    parts.canvas.setAttribute("aria-busy", String(busy));
  }

  function show() {
    const { points, labels, box } = fields ?? NO_PROMPT;
    describe(parts, fields, Number(parts.pixel.value));
    stage.show({ mask: fields && mask, kept, opacity: parts.opacity.value / 100, points, labels, box });
    enable();
  }

  function inTurn(act) {
    last = last.catch(() => {}).then(act);
  }

  /** An answer, or what comes without a mask of its own and is about the one before. */
  async function answered({ order, fields: next, mask: content, picture, anew }, own) {
    const other = picture && (await pictureOf(picture, own.stretch));
    const found = content ? await maskOf(content, own.shape ? whole(other ?? stage.picture) : next.mask_box) : mask;
    if (own !== session) return other?.close();
    if (other) stage.open(other);
    showSlice(parts, own.shape, own.slice);
    mask = found;
    fields = anew || next.undo === 0 ? null : next;
    well();
    show();
    requestAnimationFrame(() => setTimeout(() => own === session && seen(order, fields)));
  }

  /** Go on showing the mask at hand, in the place of what was accepted of its object before. */
  function keep(object, own) {
    if (own !== session || own.shape) return;
    accepted.set(object, mask);
    kept = together([...accepted.values()].filter(Boolean));
  }

  function fail(error, stuck) {
    parts.error.textContent = error.message;
    parts.error.hidden = false;
    parts.stuck.hidden = !stuck;
    parts.forget.hidden = !waiting.length;
    parts.keyForm.hidden = error.status !== 401;
  }

  function well() {
    parts.error.hidden = parts.stuck.hidden = parts.keyForm.hidden = true;
  }

  /** What a session tells; one that was left tells nothing. */
  const heard = {
    async opened({ fields: first, picture }, own) {
      const found = await pictureOf(picture, own.stretch);
      if (own !== session) return found.close();
      stage.open(found);
      showSlice(parts, own.shape, own.slice);
      const size = own.shape ? `${own.shape.join(" × ")} voxels` : `${amount(first.width)} × ${amount(first.height)} pixels`;
      parts.status.textContent = `${size}, ${first.model}. Click on an object, or draw a box around it.`;
      return show();
    },
    answer: (message, own) => inTurn(() => answered(message, own)),
    judged({ object, ...outcome }, own) {
      parts.note.value = "";
      if (outcome.accept) inTurn(() => keep(object, own));
      logged(parts, outcome.accept ? `accepted, kept as ${outcome.id}` : "rejected");
      onJudged({ ...outcome, name: opened.name });
    },
    waiting({ orders }) {
      waiting = orders;
      parts.status.dataset.waiting = orders.length;
      const clicks = orders.filter((one) => one.kind === "click");
      stage.show({ waiting: clicks, waitingBox: orders.findLast((one) => one.kind === "box")?.box });
      enable();
    },
    refused({ error, order }) {
      logged(parts, `${orderText(order)}: refused`);
      fail(error, false);
    },
    stuck({ error }) {
      fail(error, true);
    },
  };

  /** After an answer was painted. */
  function seen(order, shown) {
    if (order.kind === "slice") {
      parts.status.textContent = `Slice ${order.index} across ${order.axis}.`;
      return;
    }
    if (order.kind === "judge" || order.kind === "anew") {
      const done = order.kind === "anew" ? "" : order.accept ? `Kept as ${order.id}. ` : "Rejected. ";
      parts.status.textContent = `${done}Click on the next object.`;
      return;
    }
    const took = Math.round(performance.now() - order.since);
    const model = shown?.milliseconds ? ` (model ${amount(shown.milliseconds)} ms)` : "";
    const text = `${shown ? `${amount(shown.area)} ${shown.slices === undefined ? "px" : "voxels"}` : "no mask"} in ${amount(took)} ms${model}`;
    parts.status.textContent = `${text[0].toUpperCase()}${text.slice(1)}.`;
    logged(parts, `${orderText(order)}: ${text}`);
  }

  async function open(source, name) {
    session?.end();
    stage.open(null);
    showSlice(parts, null, null);
    [opened, mask, accepted, kept, fields, waiting] = [{ source, name }, null, new Map(), null, null, []];
    parts.name.textContent = name;
    parts.status.textContent = "Opening: the model looks at the image…";
    parts.status.dataset.waiting = 0;
    parts.log.replaceChildren();
    well();
    const own = new Session(service, source, (what, message) => heard[what](message, own));
    session = own;
    show();
    await own.open().catch((error) => {
      if (own !== session) return;
      parts.status.textContent = "The image could not be opened.";
      fail(error, true);
    });
  }

  function again() {
    well();
    if (stage.picture) session.go();
    else if (opened) open(opened.source, opened.name);
    else onAgain();
  }

  async function save() {
    const blob = await overlayOf(stage.picture, fields && mask, parts.opacity.value / 100);
    const link = element("a", { href: URL.createObjectURL(blob) });
    link.download = `${opened.name.replace(/[^A-Za-z0-9._-]+/g, "_").slice(-80)}_overlay.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  const put = (order) => session.put(order);
  const candidate = (number) => (fields || waiting.length) && put({ kind: "candidate", candidate: number });
  const slice = (by) => {
    if (!session?.shape) return;
    const [axis, asked] = [parts.axis.value, Number(parts.index.value) + by];
    const index = Math.min(Math.max(asked, 0), session.shape["xyz".indexOf(axis)] - 1);
    parts.index.value = index;
    put({ kind: "slice", axis, index });
  };
  const judge = (accept) => put({ kind: "judge", accept, by: parts.by.value, note: parts.note.value });
  const commands = {
    z: (event) => put({ kind: event.shiftKey ? "redo" : "undo" }),
    n: () => put({ kind: "anew" }),
    pageup: () => slice(1),
    pagedown: () => slice(-1),
    b: () => stage.boxKey(),
    escape: () => stage.escape(),
    0: () => stage.fit(),
    "+": () => stage.zoom(true),
    "=": () => stage.zoom(true),
    "-": () => stage.zoom(false),
    1: () => candidate(0),
    2: () => candidate(1),
    3: () => candidate(2),
  };

  // No key goes on to the page around, which may have its own.
  host.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (!stage.picture || event.target.matches("input:not([type=range]), textarea")) return;
    const key = event.key.toLowerCase();
    const alone = !(event.ctrlKey || event.altKey || event.metaKey) || key === "z";
    if (event.target === parts.canvas && stage.key(event)) event.preventDefault();
    else if (alone && key in commands) {
      commands[key](event);
      event.preventDefault();
    }
  });
  host.addEventListener("keyup", (event) => {
    event.stopPropagation();
    stage.keyUp(event);
  });
  parts.fit.onclick = commands[0];
  parts.in.onclick = commands["+"];
  parts.out.onclick = commands["-"];
  parts.undo.onclick = () => put({ kind: "undo" });
  parts.redo.onclick = () => put({ kind: "redo" });
  parts.next.onclick = commands.n;
  parts.index.onchange = () => slice(0);
  parts.axis.onchange = () => {
    parts.index.value = Math.floor(session.shape["xyz".indexOf(parts.axis.value)] / 2);
    slice(0);
  };
  parts.candidates.forEach((one, number) => (one.onclick = () => candidate(number)));
  parts.opacity.oninput = parts.pixel.oninput = show;
  parts.save.onclick = save;
  parts.accept.onclick = () => judge(true);
  parts.reject.onclick = () => judge(false);
  parts.again.onclick = again;
  parts.forget.onclick = () => (session.clear(), well());
  parts.keyForm.onsubmit = (event) => (event.preventDefault(), again());
  parts.file.onchange = () => {
    const [file] = parts.file.files;
    if (file) open({ file }, file.name);
    parts.file.value = "";
  };
  const leave = (event) => event.persisted || session?.end();
  addEventListener("pagehide", leave);
  show();

  return {
    open,
    service,
    fail: (error) => fail(error, true),
    close() {
      removeEventListener("pagehide", leave);
      session?.end();
      stage.close();
      host.remove();
    },
  };
}
