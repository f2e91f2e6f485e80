// The canvas itself: what is seen of the picture, and what a hand, a wheel or a key does on it.

import { draw } from "./painting.js";
import { boxBetween, fitted, isOn, moved, nextZoom, onImage, resized, showing, toImage, zoomed } from "./view.js";

const DRAG = 4; // pixels of the screen, from which on a click is a drag
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const PAN = 64; // pixels of the screen for an arrow
const NOTHING = { mask: null, kept: null, opacity: 0.5, points: [], labels: [], box: null, waiting: [] };

export class Stage {
  #canvas;
  #context;
  #tell;
  #observer;
  #view = { zoom: 1, across: 1, down: 1, x: 0, y: 0, width: 1, height: 1 };
  #whole = true; // the whole picture is seen, and is kept so when the canvas changes its size
  #ratio = 1;
  #scene = NOTHING;
  #cursor = null;
  #cursorSeen = false;
  #corner = null; // where a box was begun by key
  #hand = null; // what the pointer that is down does
  #space = false;
  #drawing = false;

  /**
   * @param canvas the element, whose size its style decides.
   * @param tell `{click(at, label), box(corners), place(text), zoom(number)}`.
   */
  constructor(canvas, tell) {
    [this.#canvas, this.#context, this.#tell] = [canvas, canvas.getContext("2d"), tell];
    this.picture = null;
    for (const [name, act] of Object.entries({
      pointerdown: this.#down,
      pointermove: this.#move,
      pointerup: this.#up,
      pointercancel: this.escape,
      blur: () => (this.#space = false),
      contextmenu: (event) => event.preventDefault(),
    })) {
      canvas.addEventListener(name, act.bind(this));
    }
    canvas.addEventListener("wheel", this.#wheel.bind(this), { passive: false });
    this.#observer = new ResizeObserver(([entry]) => this.#resize(entry));
    const exact = "devicePixelContentBoxSize" in ResizeObserverEntry.prototype;
    this.#observer.observe(canvas, exact ? { box: "device-pixel-content-box" } : {});
  }

  /** Another picture of `pictureOf`, or none; the one before is let go. One of the same size is seen where that was. */
  open(picture) {
    const form = (one) => one && String([one.width, one.height, ...one.stretch]);
    const alike = picture && form(picture) === form(this.picture);
    this.picture?.close();
    this.picture = picture;
    [this.#cursor, this.#cursorSeen, this.#corner, this.#hand, this.#scene] = [null, false, null, null, NOTHING];
    if (picture && !alike) this.fit();
    else this.#redraw();
  }

  /** Change what is drawn upon the picture: members of the scene, see `draw`. */
  show(members) {
    this.#scene = { ...this.#scene, ...members };
    this.#redraw();
  }

  fit() {
    this.#look(fitted(this.picture, this.#view), true);
  }

  /** To the next zoom, up or down. */
  zoom(up) {
    this.#look(zoomed(this.picture, this.#view, nextZoom(this.#view.zoom, up)));
  }

  /** Leave what was begun. */
  escape() {
    this.#hand = this.#corner = null;
    this.#redraw();
  }

  /** Begin a box at the cursor, or end the one that is begun. */
  boxKey() {
    this.#cursor ??= this.#pixel(this.#middle);
    this.#cursorSeen = true;
    const from = this.#corner;
    this.#corner = from ? null : this.#cursor;
    if (from) this.#box(from, this.#cursor);
    this.#redraw();
  }

  /** What a key does on the canvas that does nothing elsewhere; whether it does anything. */
  key(event) {
    const modified = event.ctrlKey || event.altKey || event.metaKey;
    if (event.key in ARROWS) this.#arrow(ARROWS[event.key], event.shiftKey ? 10 : 1, modified);
    else if (event.key === "Enter" && !modified && this.#corner) this.boxKey();
    else if (event.key === "Enter" && !modified && this.#cursor) this.#click(this.#cursor, event.shiftKey ? 0 : 1);
    else if (event.key === " ") this.#space = true;
    else return false;
    return true;
  }

  /** A key is up again. */
  keyUp(event) {
    if (event.key === " ") this.#space = false;
  }

  close() {
    this.#observer.disconnect();
    this.open(null);
  }

  get #middle() {
    return toImage(this.#view, this.#view.width / 2, this.#view.height / 2);
  }

  #redraw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      const keyed = this.#corner && boxBetween(this.picture, this.#corner, this.#cursor);
      const drawn = this.#hand?.box ?? keyed ?? this.#scene.waitingBox;
      const cursor = this.#cursorSeen ? this.#cursor : null;
      draw(this.#context, this.#ratio, { ...this.#scene, view: this.#view, picture: this.picture, drawn, cursor });
    });
  }

  #look(view, whole = false) {
    [this.#view, this.#whole] = [view, whole];
    this.#tell.zoom(view.zoom);
    this.#redraw();
  }

  #resize(entry) {
    const { width, height } = entry.contentRect;
    if (!width || !height) return;
    const [exact] = entry.devicePixelContentBoxSize ?? [];
    this.#canvas.width = pixels(width, exact?.inlineSize);
    this.#canvas.height = pixels(height, exact?.blockSize);
    this.#ratio = this.#canvas.width / width;
    if (!this.picture) this.#view = { ...this.#view, width, height };
    else if (this.#whole) this.#look(fitted(this.picture, { width, height }), true);
    else this.#look(resized(this.picture, this.#view, { width, height }));
  }

  #click(at, label) {
    if (isOn(this.picture, at)) this.#tell.click(onImage(this.picture, at), label);
  }

  #box(one, other) {
    const box = boxBetween(this.picture, one, other);
    if (box) this.#tell.box(box);
  }

  #pixel({ x, y }) {
    const kept = (value, length) => Math.min(Math.max(Math.round(value), 0), length - 1);
    return { x: kept(x, this.picture.width), y: kept(y, this.picture.height) };
  }

  #arrow([across, down], step, pan) {
    if (pan) return this.#look(moved(this.picture, this.#view, -PAN * across, -PAN * down));
    const from = this.#cursor;
    this.#cursor = this.#pixel(from ? { x: from.x + step * across, y: from.y + step * down } : this.#middle);
    this.#cursorSeen = true;
    this.#tell.place(`${this.#cursor.x}, ${this.#cursor.y}`);
    const next = showing(this.picture, this.#view, this.#cursor);
    return this.#look(next, this.#whole && next.x === this.#view.x && next.y === this.#view.y);
  }

  #placeOf(event) {
    const seen = this.#canvas.getBoundingClientRect();
    const scale = this.#view.width / seen.width;
    return { left: (event.clientX - seen.left) * scale, top: (event.clientY - seen.top) * scale };
  }

  #down(event) {
    if (!this.picture || this.#hand || event.button > 2) return;
    if (event.button === 1) event.preventDefault(); // no scrolling by itself
    this.#canvas.setPointerCapture(event.pointerId);
    const place = this.#placeOf(event);
    const kind = event.button === 1 || this.#space ? "pan" : event.button === 2 ? "beside" : "point";
    const label = kind === "beside" || event.shiftKey || event.ctrlKey ? 0 : 1;
    // What was aimed at is where the pointer went down, in the picture as it was seen then.
    const at = toImage(this.#view, place.left, place.top);
    this.#hand = { kind, label, at, first: place, last: place, far: false, box: null };
    this.#cursorSeen = false;
  }

  #move(event) {
    if (!this.picture) return;
    const place = this.#placeOf(event);
    const under = toImage(this.#view, place.left, place.top);
    const { x, y } = this.#pixel(under);
    this.#tell.place(`${x}, ${y}`);
    const hand = this.#hand;
    if (!hand) return;
    hand.far ||= Math.hypot(place.left - hand.first.left, place.top - hand.first.top) >= DRAG;
    if (hand.kind === "pan") {
      this.#look(moved(this.picture, this.#view, place.left - hand.last.left, place.top - hand.last.top));
    } else if (hand.kind === "point" && hand.far) {
      hand.box = boxBetween(this.picture, hand.at, under);
      this.#redraw();
    }
    hand.last = place;
  }

  #up(event) {
    const hand = this.#hand;
    if (!hand) return;
    this.#hand = null;
    this.#redraw();
    if (hand.kind === "pan") return;
    const place = this.#placeOf(event);
    if (!hand.far) this.#click(hand.at, hand.label);
    else if (hand.kind === "point") this.#box(hand.at, toImage(this.#view, place.left, place.top));
    this.#cursor = this.#pixel(hand.at);
  }

  #wheel(event) {
    if (!this.picture) return;
    event.preventDefault();
    const { left, top } = this.#placeOf(event);
    const pixels = event.deltaY * (event.deltaMode ? 33 : 1);
    this.#look(zoomed(this.picture, this.#view, this.#view.zoom * Math.exp(-0.002 * pixels), left, top));
  }
}

/** Pixels of the device for a length; `exact` is the browser's own word, which is wrong where a device is emulated. */
function pixels(length, exact) {
  const wanted = length * devicePixelRatio;
  return Math.abs(exact - wanted) < 1.5 ? exact : Math.round(wanted);
}
