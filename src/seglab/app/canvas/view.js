// Where an image is on the screen, as plain numbers: no element is asked here.
//
// A view is `{zoom, across, down, x, y, width, height}`: pixels of the screen (CSS pixels) for one pixel of the image, how
// many times that along its rows and its columns, the place of the image at the upper left corner of the canvas, and the
// size of the canvas in pixels of the screen. Places on the image are those of prompts: a whole number is the centre of a
// pixel, so an image reaches from -0.5 to its width - 0.5.
//
// An image is `{width, height, stretch: [across, down]}`; a slice of a volume whose voxels are no cubes is stretched.

export const MOST_ZOOM = 32;
const LEAST_ZOOM = 1 / 64;
const STEP = Math.SQRT2;
const RIM = 8; // pixels of the screen
const BEYOND = 0.51; // a prompt's last place before the right and the lower edge of a pixel, in hundredths

/** The place on the image below a place on the canvas; it may be beside the image. */
export function toImage(view, left, top) {
  return { x: view.x + left / (view.zoom * view.across), y: view.y + top / (view.zoom * view.down) };
}

/** The place on the canvas of a place on the image. */
export function toScreen(view, x, y) {
  return { left: (x - view.x) * view.zoom * view.across, top: (y - view.y) * view.zoom * view.down };
}

/** The nearest place that a prompt may name, in hundredths of a pixel. */
export function onImage(image, { x, y }) {
  const kept = (value, length) => Math.round(Math.min(Math.max(value, -0.5), length - BEYOND) * 100) / 100;
  return { x: kept(x, image.width), y: kept(y, image.height) };
}

/** Whether a place is on the image. */
export function isOn(image, { x, y }) {
  return x >= -0.5 && y >= -0.5 && x < image.width - 0.5 && y < image.height - 0.5;
}

/** A box `[x0, y0, x1, y1]` between two places, cut to the image; null where it has no size or is beside it. */
export function boxBetween(image, one, other) {
  const kept = (value, length) => Math.round(Math.min(Math.max(value, -0.5), length - 0.5) * 100) / 100;
  const [x0, x1] = [one.x, other.x].map((value) => kept(value, image.width)).sort((a, b) => a - b);
  const [y0, y1] = [one.y, other.y].map((value) => kept(value, image.height)).sort((a, b) => a - b);
  return x0 < x1 && y0 < y1 ? [x0, y0, x1, y1] : null;
}

/** The view in which the whole image is seen, in the middle, with a rim from which a box can be begun. */
export function fitted(image, { width, height }) {
  const [across, down] = image.stretch;
  const room = Math.min((width - 2 * RIM) / (image.width * across), (height - 2 * RIM) / (image.height * down));
  return centred({ zoom: limited(room), across, down, width, height }, (image.width - 1) / 2, (image.height - 1) / 2);
}

/** A view with another zoom; the image stays where it is below a place on the canvas. */
export function zoomed(image, view, zoom, left = view.width / 2, top = view.height / 2) {
  const kept = limited(zoom);
  const at = toImage(view, left, top);
  const off = toImage({ ...view, zoom: kept, x: 0, y: 0 }, left, top);
  return within(image, { ...view, zoom: kept, x: at.x - off.x, y: at.y - off.y });
}

/** The next zoom of 1, √2, 2, …, up or down: what is in between is taken to the next one. */
export function nextZoom(zoom, up) {
  const at = Math.log(zoom) / Math.log(STEP);
  const next = up ? Math.floor(at + 1e-6) + 1 : Math.ceil(at - 1e-6) - 1;
  return limited(2 ** (next / 2));
}

/** A view moved by so many pixels of the screen. */
export function moved(image, view, left, top) {
  return within(image, { ...view, ...toImage(view, -left, -top) });
}

/** The view after the canvas has got another size: the middle stays. */
export function resized(image, view, { width, height }) {
  const middle = toImage(view, view.width / 2, view.height / 2);
  return within(image, centred({ ...view, width, height }, middle.x, middle.y));
}

/** A view that shows a place of the image, moved no further than it must be. */
export function showing(image, view, { x, y }, rim = 24) {
  const { left, top } = toScreen(view, x, y);
  const by = (at, length) => Math.max(rim - at, 0) + Math.min(length - rim - at, 0);
  return moved(image, view, by(left, view.width), by(top, view.height));
}

/** The view with a place of the image in its middle. */
function centred(view, x, y) {
  const off = toImage({ ...view, x: 0, y: 0 }, view.width / 2, view.height / 2);
  return { ...view, x: x - off.x, y: y - off.y };
}

/** The middle of the canvas never leaves the image, so that it cannot be lost; every edge can be brought there. */
function within(image, view) {
  const { x, y } = toImage(view, view.width / 2, view.height / 2);
  const kept = (value, length) => Math.min(Math.max(value, -0.5), length - 0.5);
  return centred(view, kept(x, image.width), kept(y, image.height));
}

function limited(zoom) {
  return Math.min(Math.max(zoom, LEAST_ZOOM), MOST_ZOOM);
}
