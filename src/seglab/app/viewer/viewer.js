// Masks over a picture: panes that zoom and move together, contours, errors, a swipe between two masks. Nothing is asked
// of the server but the picture. Names of files and classes are only ever text.
export default function (component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector(".viewer");
  const turn = (root.turn = (root.turn || 0) + 1); // the newest image wins
  delete root.dataset.shown;
  unpacked(data.layers).then(async (layers) => {
    if (root.turn !== turn) return;
    if (!redrawn(root, data, layers)) draw(root, data, layers);
    await Promise.allSettled([...root.querySelectorAll("img")].map((picture) => picture.decode()));
    if (root.turn === turn) root.dataset.shown = data.key; // all of it is there
  });
}

async function unpacked(layers) {
  return Promise.all(
    layers.map(async (layer) => {
      const text = atob(layer.packed);
      const bytes = new Uint8Array(text.length);
      for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
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
  root.context = context;
  for (const pane of data.panes) panes.append(paneOf(context, pane));
  const bar = controls(context, panes);
  const parts = data.panes.length ? [bar, panes, readout(context)] : [];
  if (data.table) parts.push(tableOf(data.table));
  root.replaceChildren(...parts);
  apply(context);
}

// Another image of the same size in the same panes: what is there is painted over, so that memory stays as it is.
function redrawn(root, data, layers) {
  const alike = JSON.stringify([data.size, data.panes, data.classes, layers.map((layer) => layer.name)]);
  const before = root.alike;
  root.alike = alike;
  if (before !== alike) return false;
  const { context } = root;
  Object.assign(context, { data, layers });
  for (const entry of context.stages) {
    entry.stage.querySelector("img").src = data.picture;
    entry.repaint();
  }
  reset(context);
  tell(context, null);
  root.querySelector(".table")?.replaceWith(tableOf(data.table));
  return true;
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
    const contour = side < 0 ? null : canvasOf(context.data, "contour");
    stage.append(overlay, ...(contour ? [contour] : []));
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
    const { colors } = overlay;
    if (pane.kind === "errors") {
      errorsOf(data, layers[pane.truth].ids, layers[pane.predicted].ids, kept.of, colors);
      entry.legend.replaceChildren(legendOf(errorLegend(data, kept.of)));
    } else if (pane.kind === "disagreement") {
      disagreementOf(data, pane.layers.map((number) => layers[number].ids), colors);
    } else {
      classesOf(data, layers[side].ids, colors);
      lines(context, contour, layers[side].ids);
    }
    put(overlay);
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

// What is under the pointer.
function readout(context) {
  context.pointed = element("p", "pointed");
  tell(context, null);
  return context.pointed;
}

function tell(context, at) {
  const { data, layers, view } = context;
  const [height, width] = data.size;
  const part = data.step > 1 ? `, of which every ${data.step}th of a row and of a column is drawn` : "";
  const hint = `${data.whole[1]} × ${data.whole[0]} pixels${part}. Ctrl and wheel, or + and −, zoom; drag or arrows move.`;
  if (!at) return void (context.pointed.textContent = hint);
  const x = Math.floor((((at[0] - view.x) / view.scale) * width) / 100);
  const y = Math.floor((((at[1] - view.y) / view.scale) * height) / 100);
  if (x < 0 || y < 0 || x >= width || y >= height) return void (context.pointed.textContent = hint);
  const names = layers.map((layer) => {
    const id = layer.ids[y * width + x];
    return `${layer.name}: ${id === data.ignore ? "not labelled" : data.classes[id]?.name ?? id}`;
  });
  context.pointed.textContent = [`column ${x * data.step}, row ${y * data.step}`, ...names].join("   ");
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
    if (contour) drawing.drawImage(contour, left, 0, right - left, height, left, 0, right - left, height);
  });
  canvas.toBlob((blob) => {
    const link = element("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${context.data.file}_${entry.pane.kind}.png`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
