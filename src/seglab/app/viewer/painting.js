// Class ids to colours: each function fills a Uint32Array of RGBA for the pixels of a mask, or draws one.

function classesOf(data, ids, colors) {
  const table = new Uint32Array(256);
  data.classes.forEach((row, number) => {
    if (number >= data.first) table[number] = rgba(row.color);
  });
  table[data.ignore] = rgba(data.colors.ignored);
  for (let at = 0; at < ids.length; at++) colors[at] = table[ids[at]];
}

function errorsOf(data, truth, predicted, of, colors) {
  const found = rgba(data.colors.found), added = rgba(data.colors.added);
  const missed = rgba(data.colors.missed), confused = rgba(data.colors.confused);
  const ignored = rgba(data.colors.ignored);
  const width = data.size[1];
  colors.fill(0);
  const is = of < 0 ? (id) => id >= data.first : (id) => id === of;
  for (let at = 0; at < truth.length; at++) {
    const t = truth[at], p = predicted[at];
    if (t === data.ignore) colors[at] = ignored;
    else if (is(t) && is(p)) colors[at] = t === p ? found : confused;
    else if (is(p)) colors[at] = added;
    else if (is(t)) colors[at] = striped(at, width, data) ? missed : dark(missed);
  }
}

function disagreementOf(data, all, colors) {
  const confused = rgba(data.colors.confused);
  const width = data.size[1];
  colors.fill(0);
  for (let at = 0; at < colors.length; at++)
    if (all.some((ids) => ids[at] !== all[0][at]))
      colors[at] = striped(at, width, data) ? confused : dark(confused);
}

// The lines of a hatching, so that it is told apart without its colour too; between them it is darker.
function striped(at, width, data) {
  const period = Math.max(4, Math.round(Math.max(...data.size) / 100));
  return ((at % width) + Math.floor(at / width)) % period < period * 0.6;
}

// Edges between classes, as thick as to be seen at the size that the image is shown at.
function lines(context, canvas, ids) {
  const { data } = context;
  const [height, width] = data.size;
  const { colors } = canvas;
  colors.fill(0);
  if (!context.kept.contour) return put(canvas);
  const thick = Math.max(1, Math.round(Math.max(width, height) / 500));
  const table = data.classes.map((row, number) => (number >= data.first ? rgba(row.color) : 0));
  const mark = (at, color) => {
    const y = Math.floor(at / width), x = at % width;
    for (let down = y; down < Math.min(height, y + thick); down++)
      for (let right = x; right < Math.min(width, x + thick); right++) colors[down * width + right] = color;
  };
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      const here = ids[at];
      const beside = x + 1 < width ? ids[at + 1] : here, below = y + 1 < height ? ids[at + width] : here;
      if (here === beside && here === below) continue;
      const other = here === beside ? below : beside;
      mark(at, table[here] || table[other] || 0);
    }
  put(canvas);
}

function put(canvas) {
  canvas.getContext("2d").putImageData(canvas.image, 0, 0);
}

function dark(color) {
  return ((color & 0xfefefefe) >>> 2) & 0x3f3f3f3f | 0xff000000;
}

function rgba([red, green, blue]) {
  return (255 << 24) | (blue << 16) | (green << 8) | red;
}
