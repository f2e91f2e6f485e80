// Small parts of a page. Whatever is shown is set as text.

function element(kind, name = "") {
  const made = document.createElement(kind);
  if (name) made.className = name;
  return made;
}

function text(kind, words, name = "") {
  const made = element(kind, name);
  made.textContent = words;
  return made;
}

function canvasOf(data, name) {
  const canvas = element("canvas", name);
  [canvas.height, canvas.width] = data.size;
  canvas.image = new ImageData(canvas.width, canvas.height); // kept, so that another image takes no new memory
  canvas.colors = new Uint32Array(canvas.image.data.buffer);
  return canvas;
}

function range(words, value, changed) {
  const label = text("label", words);
  const input = element("input");
  Object.assign(input, { type: "range", min: 0, max: 100, value });
  input.addEventListener("input", () => changed(Number(input.value)));
  input.addEventListener("keydown", (event) => event.stopPropagation());
  label.append(input);
  return label;
}

function check(words, value, changed) {
  const label = element("label");
  const input = element("input");
  Object.assign(input, { type: "checkbox", checked: value });
  input.addEventListener("change", () => changed(input.checked));
  label.append(input, words);
  return label;
}

function choice(words, options, value, changed) {
  const label = text("label", words);
  const select = element("select");
  for (const [name, number] of options) {
    const option = text("option", name);
    option.value = number;
    select.append(option);
  }
  select.value = value;
  select.addEventListener("change", () => changed(Number(select.value)));
  select.addEventListener("keydown", (event) => event.stopPropagation());
  label.append(select);
  return label;
}

function button(words, about, pressed) {
  const made = text("button", words);
  made.type = "button";
  made.title = about;
  if (words.length === 1) made.setAttribute("aria-label", about);
  made.addEventListener("click", pressed);
  return made;
}

function swatch(color, hatched = false) {
  const made = element("span", hatched ? "swatch hatched" : "swatch");
  made.style.setProperty("--color", `rgb(${color.map(Number).join(",")})`);
  return made;
}

function legendOf(entries) {
  const made = element("span", "legend");
  for (const [words, color, hatched] of entries) {
    const one = element("span");
    one.append(swatch(color, hatched), words);
    made.append(one);
  }
  return made;
}

function errorLegend(data, of) {
  const colors = data.colors;
  const all = of < 0;
  const entries = [[all && !data.first ? "right" : "true positive", colors.found]];
  if (!all || data.first)
    entries.push(["false positive", colors.added], ["false negative", colors.missed, true]);
  if (all && data.classes.length - data.first > 1) entries.push(["wrong class", colors.confused]);
  return entries;
}

// Columns are of kind `text`, `share` (a bar) or `score`; a cell that is null has no value.
function tableOf(grid) {
  const table = element("table");
  const head = table.createTHead().insertRow();
  for (const column of grid.columns) {
    const cell = text("th", column.title, column.kind);
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  for (const row of grid.rows) {
    const line = body.insertRow();
    row.cells.forEach((value, place) => {
      const { kind } = grid.columns[place];
      const cell = element(place === 0 ? "th" : "td", kind);
      if (place === 0) {
        cell.scope = "row";
        if (row.color) cell.append(swatch(row.color));
        cell.append(String(value));
      } else if (value === null) cell.textContent = "–";
      else if (kind === "share") {
        const track = element("span", "track");
        const bar = track.appendChild(element("span"));
        bar.style.width = `${value * 100}%`;
        if (row.color) bar.style.setProperty("--color", `rgb(${row.color.map(Number).join(",")})`);
        cell.append(track, text("span", `${(value * 100).toFixed(1)}%`));
      } else cell.textContent = kind === "score" ? value.toFixed(3) : String(value);
      line.append(cell);
    });
  }
  const frame = element("div", "table");
  frame.tabIndex = 0; // it scrolls where it is wider than the page
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", "Scores of each class");
  frame.append(table);
  return frame;
}
