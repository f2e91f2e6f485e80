// Zoom and move, all panes together.
const STEP = 1.25;
const MOST = 32;

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
