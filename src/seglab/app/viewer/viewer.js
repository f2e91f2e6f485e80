// Masks over a picture: panes that zoom and move together, contours, errors, a swipe between two masks. Nothing is asked
// of the server but the picture. Names of files and classes are only ever text.
const STEP = 1.25;
const MOST = 32;

export default function (component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector(".viewer");
  const turn = (root.turn = (root.turn || 0) + 1); // the newest image wins
  unpacked(data.layers).then((layers) => {
    if (root.turn === turn) draw(root, data, layers);
  });
}

async function unpacked(layers) {
  return Promise.all(
    layers.map(async (layer) => {
      const bytes = Uint8Array.from(atob(layer.packed), (letter) => letter.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      return { name: layer.name, ids: new Uint8Array(await new Response(stream).arrayBuffer()) };
    })
  );
}

function draw(root, data, layers) {
  const kept = root.kept || { opacity: 60, contour: true, of: -1, swipe: 50 };
  root.kept = kept;
  const view = { scale: 1, x: 0, y: 0 };
  const stages = [];
  const panes = element("div", "panes");
  const context = { data, layers, kept, view, stages };
  for (const pane of data.panes) panes.append(paneOf(context, pane));
  const bar = controls(context, panes);
  const parts = data.panes.length ? [bar, panes, readout(context)] : [];
  if (data.table) parts.push(tableOf(data.table));
  root.replaceChildren(...parts);
  apply(context);
  root.dataset.shown = data.key;
}

// ---- panes

function paneOf(context, pane) {
  const [height, width] = context.data.size;
  const figure = element("figure", "pane");
  figure.style.maxWidth = `max(${(44 * width) / height}vh, 18rem)`;
  const window_ = element("div", "window");
  window_.style.aspectRatio = `${width} / ${height}`;
  window_.tabIndex = 0;
  window_.setAttribute("role", "group");
  window_.setAttribute("aria-label", `${pane.title}; + and - zoom, arrows move, 0 shows all`);
  const stage = element("div", "stage");
  const picture = element("img", "picture");
  picture.alt = pane.title;
  picture.decoding = "async";
  picture.src = context.data.picture;
  stage.append(picture);
  const entry = { pane, stage, window: window_, overlays: [], repaint: null };
  for (const side of sidesOf(pane)) {
    const overlay = canvasOf(context.data, "overlay");
    const contour = canvasOf(context.data, "contour");
    stage.append(overlay, contour);
    entry.overlays.push({ side, overlay, contour });
  }
  if (pane.kind === "swipe") {
    entry.line = element("div", "line");
    stage.append(entry.line);
  }
  window_.append(stage);
  const caption = element("figcaption");
  caption.append(text("strong", pane.title));
  if (pane.kind === "errors") entry.legend = caption.appendChild(element("span", "legend"));
  if (pane.kind === "disagreement") caption.append(legendOf([["they differ", context.data.colors.confused, true]]));
  caption.append(button("Save", "save this as a PNG, in the pixels of the image", () => save(context, entry)));
  figure.append(window_, caption);
  if (pane.kind === "swipe") figure.append(swiper(context, entry));
  context.stages.push(entry);
  entry.repaint = () => paint(context, entry);
  entry.repaint();
  moving(context, entry);
  return figure;
}

const sidesOf = (pane) =>
  pane.kind === "picture" ? [] : pane.kind === "swipe" ? [pane.left, pane.right] : [pane.layer ?? -1];

function paint(context, entry) {
  const { data, layers, kept } = context;
  const { pane } = entry;
  for (const { side, overlay, contour } of entry.overlays) {
    let colors;
    if (pane.kind === "errors") {
      colors = errorsOf(data, layers[pane.truth].ids, layers[pane.predicted].ids, kept.of);
      entry.legend.replaceChildren(legendOf(errorLegend(data, kept.of)));
    } else if (pane.kind === "disagreement") {
      colors = disagreementOf(data, pane.layers.map((number) => layers[number].ids));
    } else {
      colors = classesOf(data, layers[side].ids);
      lines(context, contour, layers[side].ids);
    }
    put(data, overlay, colors);
  }
}

// ---- controls

function controls(context, panes) {
  const { kept, data } = context;
  const bar = element("div", "bar");
  const opacity = range("Opacity of masks", kept.opacity, (value) => {
    kept.opacity = value;
    apply(context);
  });
  bar.append(opacity);
  bar.append(
    check("Contours", kept.contour, (value) => {
      kept.contour = value;
      context.stages.forEach((entry) => entry.repaint());
    })
  );
  if (data.panes.some((pane) => pane.kind === "errors") && data.classes.length > 2) {
    if (kept.of >= data.classes.length) kept.of = -1;
    const names = [["every class", -1], ...data.classes.map((row, number) => [row.name, number])];
    bar.append(
      choice("Errors of", names, kept.of, (value) => {
        kept.of = value;
        context.stages.filter((entry) => entry.pane.kind === "errors").forEach((entry) => entry.repaint());
      })
    );
  }
  const zoom = element("span", "zoom");
  zoom.append(
    button("−", "zoom out", () => zoomBy(context, 1 / STEP)),
    button("+", "zoom in", () => zoomBy(context, STEP)),
    button("Show all", "show the whole image", () => reset(context))
  );
  bar.append(zoom);
  return bar;
}

function swiper(context, entry) {
  const label = range("Swipe", context.kept.swipe, (value) => {
    context.kept.swipe = value;
    apply(context);
  });
  const [left, right] = [entry.pane.left, entry.pane.right].map((number) => context.layers[number].name);
  label.querySelector("input").setAttribute("aria-label", `Swipe: ${left} to the left, ${right} to the right`);
  const row = element("div", "swiper");
  row.append(text("span", left), label, text("span", right));
  return row;
}

function apply(context) {
  const { view, kept } = context;
  for (const entry of context.stages) {
    entry.stage.style.transform = `translate(${view.x}%, ${view.y}%) scale(${view.scale})`;
    entry.stage.classList.toggle("near", view.scale >= 4);
    entry.overlays.forEach(({ overlay, contour }, place) => {
      overlay.style.opacity = kept.opacity / 100;
      if (entry.pane.kind !== "swipe") return;
      const cut = place === 0 ? `inset(0 ${100 - kept.swipe}% 0 0)` : `inset(0 0 0 ${kept.swipe}%)`;
      overlay.style.clipPath = contour.style.clipPath = cut;
    });
    if (entry.line) entry.line.style.left = `${kept.swipe}%`;
  }
}

// ---- zoom and move, all panes together

function zoomBy(context, factor, at = [50, 50]) {
  const { view } = context;
  const scale = Math.min(MOST, Math.max(1, view.scale * factor));
  const real = scale / view.scale;
  view.x = at[0] - (at[0] - view.x) * real;
  view.y = at[1] - (at[1] - view.y) * real;
  view.scale = scale;
  moveBy(context, 0, 0);
}

// In hundredths of a pane; the image never leaves it.
function moveBy(context, x, y) {
  const { view } = context;
  const least = 100 - 100 * view.scale;
  view.x = Math.min(0, Math.max(least, view.x + x));
  view.y = Math.min(0, Math.max(least, view.y + y));
  apply(context);
}

function reset(context) {
  Object.assign(context.view, { scale: 1, x: 0, y: 0 });
  apply(context);
}

function moving(context, entry) {
  const window_ = entry.window;
  const place = (event) => {
    const box = window_.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * 100, ((event.clientY - box.top) / box.height) * 100];
  };
  window_.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [10, 0], ArrowRight: [-10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") zoomBy(context, STEP);
    else if (event.key === "-") zoomBy(context, 1 / STEP);
    else if (event.key === "0") reset(context);
    else if (moves[event.key]) moveBy(context, ...moves[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  window_.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey) return; // the wheel alone moves the page
      event.preventDefault();
      zoomBy(context, event.deltaY < 0 ? STEP : 1 / STEP, place(event));
    },
    { passive: false }
  );
  let from = null;
  window_.addEventListener("pointerdown", (event) => {
    from = place(event);
    window_.setPointerCapture(event.pointerId);
  });
  window_.addEventListener("pointerup", () => (from = null));
  window_.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (from) {
      moveBy(context, at[0] - from[0], at[1] - from[1]);
      from = at;
    }
    tell(context, at);
  });
  window_.addEventListener("pointerleave", () => tell(context, null));
}

// What is under the pointer.
function readout(context) {
  context.told = element("p", "told");
  tell(context, null);
  return context.told;
}

function tell(context, at) {
  const { data, layers, view } = context;
  const [height, width] = data.size;
  const hint = `${width} × ${height} pixels. Ctrl and wheel, or + and −, zoom; drag or arrows move.`;
  if (!at) return void (context.told.textContent = hint);
  const x = Math.floor((((at[0] - view.x) / view.scale) * width) / 100);
  const y = Math.floor((((at[1] - view.y) / view.scale) * height) / 100);
  if (x < 0 || y < 0 || x >= width || y >= height) return void (context.told.textContent = hint);
  const names = layers.map((layer) => {
    const id = layer.ids[y * width + x];
    return `${layer.name}: ${id === data.ignore ? "not labelled" : data.classes[id]?.name ?? id}`;
  });
  context.told.textContent = [`column ${x}, row ${y}`, ...names].join("   ");
}

// A pane as it looks, in the pixels of the image.
function save(context, entry) {
  const [height, width] = context.data.size;
  const canvas = element("canvas");
  Object.assign(canvas, { width, height });
  const drawing = canvas.getContext("2d");
  drawing.drawImage(entry.stage.querySelector("img"), 0, 0, width, height);
  entry.overlays.forEach(({ overlay, contour }, place) => {
    const cut = (context.kept.swipe / 100) * width;
    const [left, right] = entry.pane.kind !== "swipe" ? [0, width] : place === 0 ? [0, cut] : [cut, width];
    if (right <= left) return;
    drawing.globalAlpha = context.kept.opacity / 100;
    drawing.drawImage(overlay, left, 0, right - left, height, left, 0, right - left, height);
    drawing.globalAlpha = 1;
    drawing.drawImage(contour, left, 0, right - left, height, left, 0, right - left, height);
  });
  canvas.toBlob((blob) => {
    const link = element("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${context.data.file}_${entry.pane.kind}.png`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
