// A volume from the data or of one's own, with the mask that the model makes of it; or beside each other, with the masks
// of several models, the true one where there is one, and where two models differ.
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const id = query.get("id");
const statusLine = at("status");
const TRUE = ":true", DIFFER = ":differ"; // no model is called so
// Names of models stand for addresses below this page's own; nothing else is asked.
const models = query.getAll("model");
const sources = models.length
  ? models.map((name) => [name, name === data.name ? "predict" : `../also/${encodeURIComponent(name)}/predict`])
  : [["predicted", "predict"]];
const masks = new Map(); // blobs by what they are called
const views = [];

// Colours by the values of a mask.
function colormap(which) {
  const map = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: [""] };
  const rows = which === DIFFER ? [{ value: 1, name: "they differ", color: data.differ }] : data.classes;
  const most = Math.max(...rows.map((row) => row.value));
  for (let value = 0; value <= most; value++) {
    const number = rows.findIndex((row) => row.value === value);
    const [red, green, blue] = number < 0 ? [0, 0, 0] : rows[number].color;
    const drawn = number >= (which === DIFFER ? 0 : data.first);
    [map.R[value], map.G[value], map.B[value], map.A[value], map.I[value]] = [red, green, blue, drawn ? 255 : 0, value];
    map.labels[value] = number < 0 ? "" : rows[number].name;
  }
  return map;
}

async function answer(path, asked) {
  const found = await fetch(path, asked);
  if (found.ok) return found.blob();
  const problem = await found.json().catch(() => ({ title: `status ${found.status}` }));
  throw new Error([problem.title, problem.detail, problem.remedy].filter(Boolean).join("; "));
}

// Says what is waited for, and since when.
async function during(words, work) {
  const began = performance.now();
  const say = () => (statusLine.textContent = `${words}, ${Math.round((performance.now() - began) / 1000)} s`);
  say();
  const timer = setInterval(say, 1000);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

async function unzipped(blob) {
  const stream = blob.stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// A NIfTI file that is 1 where two others of the same grid have different values.
async function differing(first, second) {
  const [one, other] = await Promise.all([unzipped(first), unzipped(second)]);
  const head = new DataView(one.buffer);
  const bytes = head.getInt16(72, true) / 8;
  const made = one.slice();
  for (let place = head.getFloat32(108, true); place < made.length; place += bytes) {
    let same = true;
    for (let byte = place; byte < place + bytes; byte++) same &&= one[byte] === other[byte];
    made.fill(0, place, place + bytes);
    made[place] = same ? 0 : 1;
  }
  return new Blob([made]);
}

async function maskOf(which) {
  if (!masks.has(which)) {
    if (which === TRUE) masks.set(which, await answer(`images/${encodeURIComponent(id)}/truth`));
    else masks.set(which, await differing(...sources.slice(0, 2).map(([name]) => masks.get(name))));
  }
  return masks.get(which);
}

const source = (blob, name) => ({ url: URL.createObjectURL(blob), name });
const maskSource = (which, blob) => ({ ...source(blob, which === DIFFER ? "mask.nii" : "mask.nii.gz"), opacity: 0.6 });

async function show(image) {
  for (const [name, path] of sources) {
    const headers = { "Content-Type": "application/octet-stream", Accept: "application/gzip", "X-Monitoring": "off" };
    const words = sources.length > 1 ? `asking ${name}` : "asking the model";
    masks.set(name, await during(words, () => answer(path, { method: "POST", body: image, headers })));
  }
  const name = new Uint8Array(await image.slice(0, 1).arrayBuffer())[0] === 0x1f ? "image.nii.gz" : "image.nii";
  for (const view of views) {
    const volumes = [{ ...source(image, name), colormap: "gray" }, maskSource(view.which, await maskOf(view.which))];
    await view.nv.loadVolumes(volumes);
    volumes.forEach((one) => URL.revokeObjectURL(one.url));
    color(view);
  }
  sliced();
  statusLine.textContent = "A click moves the crosshair, the wheel the slice.";
  document.body.dataset.shown = views.map((view) => view.which).join(" ");
}

function color(view) {
  view.nv.volumes[1].setColormapLabel(colormap(view.which));
  view.nv.setOpacity(1, at("opacity").value / 100);
  view.nv.updateGLVolume();
}

const sliced = () => views.forEach((view) => view.nv.setSliceType(Number(at("view").value)));

async function change(view, which) {
  const mask = await maskOf(which);
  view.which = which;
  view.nv.removeVolumeByIndex(1);
  const one = maskSource(which, mask);
  await view.nv.addVolumeFromUrl(one);
  URL.revokeObjectURL(one.url);
  color(view);
  document.body.dataset.shown = views.map((one) => one.which).join(" ");
}

const failed = (error) => (statusLine.textContent = error.message);

function element(kind, words = "") {
  const made = document.createElement(kind);
  made.textContent = words;
  return made;
}

// A canvas with a choice of its mask above it.
async function addView(which, options) {
  const frame = element("div"), label = element("label", "Mask "), select = element("select");
  const canvas = element("canvas"), room = element("div");
  frame.className = "view";
  for (const [name, value] of options) select.append(new Option(name, value));
  select.value = which;
  label.append(select);
  canvas.id = `volume-${views.length}`;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "The volume with its mask; a click moves the crosshair, the wheel the slice");
  room.append(canvas);
  frame.append(label, room);
  at("frame").append(frame);
  const nv = new niivue.Niivue({
    backColor: [0, 0, 0, 1], crosshairColor: [0.2, 0.5, 0.9, 1], crosshairWidth: 0.4, loadingText: "",
    dragAndDropEnabled: false, isColorbar: false,
  });
  nv.onLocationChange = (place) => (statusLine.textContent = place.string);
  await nv.attachToCanvas(canvas);
  const view = { nv, which };
  views.push(view);
  select.addEventListener("change", () => change(view, select.value).catch(failed));
}

function legend() {
  const rows = data.classes.slice(data.first);
  if (sources.length > 1) rows.push({ name: "they differ", color: data.differ });
  for (const row of rows) {
    const line = element("li"), box = element("i");
    box.style.background = `rgb(${row.color.map(Number).join(",")})`;
    line.append(box, row.name);
    at("legend").append(line);
  }
}

async function begin() {
  const options = sources.map(([name]) => [name, name]);
  if (query.get("truth") === "true") options.push(["true", TRUE]);
  if (sources.length > 1) options.push([`where ${sources[0][0]} and ${sources[1][0]} differ`, DIFFER]);
  for (const [name] of sources.slice(0, 2)) await addView(name, options);
  for (const view of views) view.nv.broadcastTo(views.filter((one) => one !== view).map((one) => one.nv));
  legend();
  at("view").addEventListener("change", sliced);
  at("opacity").addEventListener("input", () => views.forEach((view) => view.nv.setOpacity(1, at("opacity").value / 100)));
  at("file").addEventListener("change", () => show(at("file").files[0]).catch(failed));
  at("bar").addEventListener("submit", (event) => event.preventDefault());
  if (id === null) {
    at("own").hidden = false;
    statusLine.textContent = "Choose a volume.";
    return;
  }
  await show(await during("reading the volume", () => answer(`images/${encodeURIComponent(id)}`)));
}

begin().catch(failed);
