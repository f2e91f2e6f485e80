// The plain page: an image of the service's data by its id, or a file of one's own.

import { mount } from "./canvas.js";

const MOST = 20_000; // ids that are asked for; any other is opened by its whole name
const OFFERED = 200; // of those that hold what was typed

const chooser = document.getElementById("chooser");
const typed = document.getElementById("image");
const offered = document.getElementById("images");
const count = document.getElementById("count");
let ids = [];

const component = mount(document.getElementById("canvas"), {
  api: new URL(".", location.href).href,
  onAgain: list,
});

async function list() {
  try {
    for (let total = 1; ids.length < Math.min(total, MOST); ) {
      const page = await (await component.service.ask("GET", `images?limit=1000&offset=${ids.length}`)).json();
      total = page.images.length ? page.count : 0;
      ids = ids.concat(page.images.map((one) => one.id));
    }
  } catch (error) {
    if (error.code !== "data-missing") component.fail(error);
    return;
  }
  chooser.hidden = false;
  offer();
  const asked = new URL(location.href).searchParams.get("image") ?? ids[0];
  if (asked !== undefined) choose(asked);
}

function offer() {
  const found = ids.filter((id) => id.includes(typed.value)).slice(0, OFFERED);
  offered.replaceChildren(...found.map((id) => new Option(id, id)));
}

function choose(id) {
  typed.value = id;
  const at = ids.indexOf(id);
  count.textContent = at < 0 ? "" : `${at + 1} of ${ids.length}`;
  const address = new URL(location.href);
  address.searchParams.set("image", id);
  history.replaceState(null, "", address);
  component.open({ image: id }, id);
}

function step(by) {
  const at = ids.indexOf(typed.value);
  if (ids.length) choose(ids[(at + by + ids.length) % ids.length]);
}

typed.addEventListener("input", offer);
typed.addEventListener("change", () => typed.value && choose(typed.value));
document.getElementById("before").addEventListener("click", () => step(-1));
document.getElementById("after").addEventListener("click", () => step(1));
list();
