// A volume from the data or of one's own, the mask that the model makes of it, and the true one where there is one.
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const id = new URLSearchParams(location.search).get("id");
const masks = {};
const told = at("told");
const nv = new niivue.Niivue({
  backColor: [0, 0, 0, 1],
  crosshairColor: [0.2, 0.5, 0.9, 1],
  crosshairWidth: 0.4,
  loadingText: "",
  dragAndDropEnabled: false,
  isColorbar: false,
});
nv.onLocationChange = (place) => (told.textContent = place.string);

// Label colours by the values of the mask.
function colormap() {
  const most = Math.max(...data.classes.map((row) => row.value));
  const map = { R: [], G: [], B: [], A: [], I: [], labels: [] };
  for (let value = 0; value <= most; value++) {
    const number = data.classes.findIndex((row) => row.value === value);
    const color = number < 0 ? [0, 0, 0] : data.classes[number].color;
    map.R.push(color[0]), map.G.push(color[1]), map.B.push(color[2]);
    map.A.push(number < data.first ? 0 : 255), map.I.push(value);
    map.labels.push(number < 0 ? "" : data.classes[number].name);
  }
  return map;
}

async function answer(path, asked) {
  const found = await fetch(path, asked);
  if (found.ok) return found.blob();
  const problem = await found.json().catch(() => ({ title: `status ${found.status}` }));
  throw new Error([problem.title, problem.detail, problem.remedy].filter(Boolean).join("; "));
}

const source = (blob, name) => ({ url: URL.createObjectURL(blob), name });

async function show(image) {
  told.textContent = "asking the model";
  const headers = { "Content-Type": "application/octet-stream", Accept: "application/gzip" };
  masks.predicted = await answer("predict", { method: "POST", body: image, headers });
  const name = new Uint8Array(await image.slice(0, 1).arrayBuffer())[0] === 0x1f ? "image.nii.gz" : "image.nii";
  const volumes = [{ ...source(image, name), colormap: "gray" }, { ...source(masks.predicted, "mask.nii.gz"), opacity: 0.6 }];
  await nv.loadVolumes(volumes);
  volumes.forEach((one) => URL.revokeObjectURL(one.url));
  nv.setSliceType(Number(at("view").value));
  color();
  document.body.dataset.shown = "predicted";
}

function color() {
  nv.volumes[1].setColormapLabel(colormap());
  nv.setOpacity(1, at("opacity").value / 100);
  nv.updateGLVolume();
}

async function change() {
  const which = at("which").value;
  if (which === "true" && !masks.true) masks.true = await answer(`images/${encodeURIComponent(id)}/truth`);
  nv.removeVolumeByIndex(1);
  const one = source(masks[which], "mask.nii.gz");
  await nv.addVolumeFromUrl({ ...one, opacity: 0.6 });
  URL.revokeObjectURL(one.url);
  color();
  document.body.dataset.shown = which;
}

const failed = (error) => (told.textContent = error.message);

async function begin() {
  await nv.attachToCanvas(at("volume"));
  for (const row of data.classes.slice(data.first)) {
    const line = document.createElement("li");
    const box = document.createElement("i");
    box.style.background = `rgb(${row.color.map(Number).join(",")})`;
    line.append(box, row.name);
    at("legend").append(line);
  }
  at("view").addEventListener("change", () => nv.setSliceType(Number(at("view").value)));
  at("opacity").addEventListener("input", () => nv.setOpacity(1, at("opacity").value / 100));
  at("which").addEventListener("change", () => change().catch(failed));
  at("file").addEventListener("change", () => show(at("file").files[0]).catch(failed));
  at("bar").addEventListener("submit", (event) => event.preventDefault());
  if (id === null) {
    at("own").hidden = false;
    told.textContent = "Choose a volume.";
    return;
  }
  if (new URLSearchParams(location.search).get("truth") === "true") at("which").append(new Option("true", "true"));
  await show(await answer(`images/${encodeURIComponent(id)}`));
}

begin().catch(failed);
