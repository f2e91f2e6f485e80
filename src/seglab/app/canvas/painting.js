// What is drawn: the picture, the mask with its contour, clicks, the box and the cursor of the keyboard.

import { toScreen } from "./view.js";

const TINT = [230, 159, 0]; // orange of the palette of Okabe and Ito, which colour-blind people tell apart
const KEPT = [0, 114, 178]; // blue of the same
const OBJECT = "#0072b2";
const BESIDE = "#d55e00";
const LEVELS = 3; // halvings of the picture, so that a large one is drawn fast when it is small

/** The picture of a Blob, with smaller copies; `stretch` as of an image in view.js. */
export async function pictureOf(blob, stretch) {
  const levels = [await createImageBitmap(blob, { colorSpaceConversion: "none" })];
  for (let n = 0; n < LEVELS && Math.min(levels[n].width, levels[n].height) > 256; n++) {
    const [resizeWidth, resizeHeight] = [Math.ceil(levels[n].width / 2), Math.ceil(levels[n].height / 2)];
    levels.push(await createImageBitmap(levels[n], { resizeWidth, resizeHeight, resizeQuality: "medium" }));
  }
  const [{ width, height }] = levels;
  return { width, height, stretch, levels, close: () => levels.forEach((level) => level.close()) };
}

/**
 * The mask of a PNG within its tight box, with a rim of zeros: `{x, y, width, height, data}`, where `data` has
 * `width * height` bytes of 0 and 1 and `x, y` is the pixel of the image at its corner; null where nothing is in it.
 */
export async function maskOf(blob, box) {
  if (!box) return null;
  const [x, y] = [box[0] + 0.5, box[1] + 0.5];
  const [inner, tall] = [box[2] + 0.5 - x, box[3] + 0.5 - y];
  const bitmap = await createImageBitmap(blob, x, y, inner, tall, { colorSpaceConversion: "none" });
  const context = new OffscreenCanvas(inner, tall).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const pixels = context.getImageData(0, 0, inner, tall).data;
  const width = inner + 2;
  const data = new Uint8Array(width * (tall + 2));
  for (let row = 0, from = 0; row < tall; row++) {
    for (let column = 0, to = (row + 1) * width + 1; column < inner; column++, from += 4) {
      data[to + column] = pixels[from] >> 7;
    }
  }
  return { x: x - 1, y: y - 1, width, height: tall + 2, data };
}

/** Masks of one image as one, of the form of `maskOf`; null of none. */
export function together(masks) {
  if (!masks.length) return null;
  const x = Math.min(...masks.map((one) => one.x));
  const y = Math.min(...masks.map((one) => one.y));
  const width = Math.max(...masks.map((one) => one.x + one.width)) - x;
  const height = Math.max(...masks.map((one) => one.y + one.height)) - y;
  const data = new Uint8Array(width * height);
  for (const one of masks) {
    for (let row = 0, from = 0; row < one.height; row++) {
      const to = (one.y - y + row) * width + one.x - x;
      for (let column = 0; column < one.width; column++, from++) data[to + column] |= one.data[from];
    }
  }
  return { x, y, width, height, data };
}

/**
 * Draw everything.
 *
 * @param context of the canvas.
 * @param ratio pixels of the canvas for one of the screen.
 * @param scene `{view, picture, mask, kept, opacity, points, labels, box, waiting, drawn, cursor}`: `kept` is what was
 *   accepted, as one mask, `waiting` clicks that are not answered yet, `drawn` the box under the hand, `cursor` a place or
 *   null.
 */
export function draw(context, ratio, scene) {
  const { view, picture } = scene;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  if (!picture) return;
  drawPicture(context, view, ratio, picture);
  if (scene.kept) drawMask(context, view, ratio, scene.kept, KEPT, scene.opacity / 2);
  if (scene.mask) drawMask(context, view, ratio, scene.mask, TINT, scene.opacity);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  if (scene.box) drawBox(context, view, scene.box, []);
  if (scene.drawn) drawBox(context, view, scene.drawn, [6, 4]);
  scene.points.forEach((at, n) => drawClick(context, view, at, scene.labels[n], true));
  scene.waiting.forEach((one) => drawClick(context, view, [one.x, one.y], one.label, false));
  if (scene.cursor) drawCursor(context, view, scene.cursor);
}

/** The whole picture with its mask at its own size, as a PNG. */
export async function overlayOf(picture, mask, opacity) {
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const view = { zoom: 1, across: 1, down: 1, x: -0.5, y: -0.5, width: picture.width, height: picture.height };
  draw(canvas.getContext("2d"), 1, { view, picture, mask, kept: null, opacity, points: [], labels: [], waiting: [] });
  return canvas.convertToBlob({ type: "image/png" });
}

function drawPicture(context, view, ratio, picture) {
  const [across, down] = [view.zoom * view.across * ratio, view.zoom * view.down * ratio];
  const level = Math.min(Math.max(Math.floor(-Math.log2(Math.max(across, down))), 0), picture.levels.length - 1);
  const { left, top } = toScreen(view, -0.5, -0.5);
  context.imageSmoothingEnabled = Math.min(across, down) < 1;
  context.drawImage(picture.levels[level], left * ratio, top * ratio, picture.width * across, picture.height * down);
}

/** The tint, and a contour that is white inside and black outside, so that it is seen on any ground without colour. */
function drawMask(context, view, ratio, mask, colour, opacity) {
  const rim = Math.max(1, Math.round(ratio * 1.2)); // how wide each half of the contour is
  const columns = pixelsAlong(view.x, view.zoom * view.across * ratio, context.canvas.width, mask.x, mask.width, rim);
  const rows = pixelsAlong(view.y, view.zoom * view.down * ratio, context.canvas.height, mask.y, mask.height, rim);
  if (!columns || !rows) return;
  const [across, down] = [columns.of.length - 2 * rim, rows.of.length - 2 * rim];
  const layer = new ImageData(across, down);
  const colours = new Uint32Array(layer.data.buffer);
  const tint = packed(...colour, Math.round(255 * opacity));
  const [inside, outside] = [packed(255, 255, 255, 255), packed(0, 0, 0, 255)];
  const { data, width } = mask;
  for (let j = 0, at = 0; j < down; j++) {
    const row = rows.of[j + rim] * width;
    const [above, below] = [rows.of[j] * width, rows.of[j + 2 * rim] * width];
    for (let i = 0; i < across; i++, at++) {
      const column = columns.of[i + rim];
      const near =
        data[above + column] + data[below + column] + data[row + columns.of[i]] + data[row + columns.of[i + 2 * rim]];
      if (data[row + column]) colours[at] = near < 4 ? inside : tint;
      else if (near) colours[at] = outside;
    }
  }
  const canvas = new OffscreenCanvas(across, down);
  canvas.getContext("2d").putImageData(layer, 0, 0);
  context.drawImage(canvas, columns.from, rows.from);
}

/** Along one axis: which pixel of the mask lies below each pixel of the canvas, from `from` and `rim` beyond both ends. */
function pixelsAlong(corner, scale, length, start, size, rim) {
  const from = Math.max(Math.floor((start + 0.5 - corner) * scale) - rim, 0);
  const to = Math.min(Math.ceil((start + size - 1.5 - corner) * scale) + rim, length);
  if (to <= from) return null;
  const of = new Int32Array(to - from + 2 * rim);
  for (let n = 0; n < of.length; n++) {
    const pixel = Math.floor(corner + (from + n - rim + 0.5) / scale + 0.5) - start;
    of[n] = Math.min(Math.max(pixel, 0), size - 1);
  }
  return { from, of };
}

function packed(red, green, blue, alpha) {
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0; // as the bytes of ImageData lie on every machine of today
}

function drawBox(context, view, [x0, y0, x1, y1], dash) {
  const [one, other] = [toScreen(view, x0, y0), toScreen(view, x1, y1)];
  twice(context, () => context.strokeRect(one.left, one.top, other.left - one.left, other.top - one.top), dash);
}

/** A click on the object is a disk with a plus, one beside it a square with a minus; hollow while it waits. */
function drawClick(context, view, [x, y], label, answered) {
  const { left, top } = toScreen(view, x, y);
  const colour = label ? OBJECT : BESIDE;
  context.setLineDash([]);
  context.beginPath();
  if (label) context.arc(left, top, 7, 0, 2 * Math.PI);
  else context.rect(left - 6.5, top - 6.5, 13, 13);
  context.fillStyle = answered ? colour : "#ffffffcc";
  context.fill();
  context.lineWidth = 2;
  context.strokeStyle = answered ? "#fff" : colour;
  context.stroke();
  context.beginPath();
  context.moveTo(left - 4, top);
  context.lineTo(left + 4, top);
  if (label) {
    context.moveTo(left, top - 4);
    context.lineTo(left, top + 4);
  }
  context.stroke();
}

function drawCursor(context, view, { x, y }) {
  const { left, top } = toScreen(view, x, y);
  const arms = () => {
    context.beginPath();
    for (const [across, down] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(left + 4 * across, top + 4 * down);
      context.lineTo(left + 14 * across, top + 14 * down);
    }
    context.stroke();
  };
  twice(context, arms, []);
}

/** A white line upon a black one. */
function twice(context, stroke, dash) {
  for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
    context.setLineDash(colour === "#fff" ? dash : []);
    context.lineWidth = width;
    context.strokeStyle = colour;
    stroke();
  }
}
