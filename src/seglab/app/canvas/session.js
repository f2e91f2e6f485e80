// A session with the service: what was asked stands in line and is asked in turn, so that no click is lost, and the way
// back is the service's own.
//
// What is in line is an order: `{kind: "click", x, y, label}`, `{kind: "box", box}`, `{kind: "candidate", candidate}`,
// `{kind: "undo"}`, `{kind: "redo"}`, `{kind: "anew"}` (the next prompt is about another object), `{kind: "slice", axis,
// index}` (look at another slice of a volume), or `{kind: "judge", accept, by, note}`. A prompt is made of the
// service's last reply and the order, when its turn comes. Of a volume, replies are made to be about the slice on show.

const TRIES = 5;
const LONGEST_WAIT = 5; // seconds, whatever Retry-After asks for
const EMPTY = { points: [], labels: [], box: null };

/** An error in the words of the service; `status` is 0 where nothing came back. */
export class Refusal extends Error {
  constructor(status, { title, detail, remedy, code } = {}, wait = 0) {
    super([title, detail, remedy && `What to do: ${remedy}`].filter(Boolean).join(". "));
    this.status = status;
    this.code = code ?? "";
    this.wait = wait;
  }

  /** Whether the service may have done what was asked, although it did not say so. */
  get unknown() {
    return this.status === 0 || this.status === 504 || (this.status >= 500 && this.status !== 503);
  }
}

/** What is at an address. */
export class Service {
  #base;
  #key;

  /**
   * @param base address, with a slash at its end.
   * @param key asked for the service's key, where it wants one; "" for none.
   */
  constructor(base, key) {
    [this.#base, this.#key] = [base, key];
  }

  /** The answer of a place below the address; throws a `Refusal` where it is an error, or none comes. */
  async ask(method, place, given = {}) {
    let reply;
    try {
      reply = await this.send(method, place, given);
    } catch {
      throw new Refusal(0, { title: "The service cannot be reached", remedy: "see that it runs, then try again" });
    }
    if (reply.ok) return reply;
    const problem = await reply.json().catch(() => ({ title: `The service answered ${reply.status}` }));
    throw new Refusal(reply.status, problem, Number(reply.headers.get("Retry-After")) || 0);
  }

  /** The answer, whatever it is. */
  send(method, place, { body, kind, keepalive = false } = {}) {
    const headers = kind ? { "Content-Type": kind } : {};
    if (this.#key()) headers["X-API-Key"] = this.#key();
    return fetch(new URL(place, this.#base), { method, body, headers, keepalive });
  }
}

/** One image with a service. */
export class Session {
  #service;
  #source;
  #tell;
  #id = "";
  #line = [];
  #busy = false;
  #ended = false;
  #steps = []; // `{prompt, object}` of every prompt that was answered, so that a session that was lost can be made again
  #at = 0;
  #asked = 0;

  /**
   * @param service that answers.
   * @param source `{image}`, an id of its data, or `{file}`, a Blob.
   * @param tell called with what happens: `opened`, `answer`, `waiting`, `judged`, `refused`, `stuck`.
   */
  constructor(service, source, tell) {
    [this.#service, this.#source, this.#tell] = [service, source, tell];
    this.fields = null;
    this.anew = false;
    this.shape = null; // of a volume
    this.spacing = null; // of it
    this.slice = null; // of it, that is looked at: `{axis, index}`
  }

  /** Begin: the service computes what it needs of the image. Tells `opened` with its picture. */
  async open() {
    await this.#patiently(async () => {
      const picture = await this.#seen("image");
      if (!this.#ended) this.#tell("opened", { fields: this.fields, picture });
    });
  }

  /** How many times as long a pixel is along rows and columns as along the shorter of them. */
  get stretch() {
    if (!this.slice) return [1, 1];
    const left = this.spacing.filter((_, axis) => "xyz"[axis] !== this.slice.axis);
    const least = Math.min(...left);
    return least > 0 ? left.map((length) => length / least) : [1, 1];
  }

  /** Put an order in line. */
  put(order) {
    this.#line.push({ ...order, number: ++this.#asked, since: performance.now() });
    this.#waiting();
    this.go();
  }

  /** Go on with the line after `stuck`. */
  async go() {
    if (this.#busy || this.#ended) return;
    this.#busy = true;
    while (this.#line.length && !this.#ended) {
      try {
        await this.#patiently(() => this.#do(this.#line[0]));
      } catch (error) {
        if (this.#ended) break;
        if (!(error instanceof Refusal)) throw error;
        const lasting = error.status >= 400 && error.status < 500 && ![401, 404, 408, 410, 429].includes(error.status);
        this.#tell(lasting ? "refused" : "stuck", { error, order: this.#line[0] });
        if (!lasting) break;
      }
      this.#line.shift();
      this.#waiting();
    }
    this.#busy = false;
  }

  /** Forget what is in line. */
  clear() {
    this.#line.length = 0;
    this.#waiting();
  }

  /** End it, here and in the service; no message follows. */
  end() {
    this.#ended = true;
    if (this.#id) this.#service.send("DELETE", this.#place, { keepalive: true }).catch(() => {});
  }

  get #place() {
    return `sessions/${this.#id}`;
  }

  /** Which one the newest prompt is about: the number of the order that began it. */
  get #object() {
    return this.#steps[this.#at - 1]?.object;
  }

  #waiting() {
    this.#tell("waiting", { orders: [...this.#line] });
  }

  async #patiently(call) {
    for (let tries = 1; ; tries++) {
      try {
        if (!this.#id) await this.#again();
        return await call();
      } catch (error) {
        if (!(error instanceof Refusal) || this.#ended) throw error;
        const gone = this.#id && (error.status === 404 || error.status === 410);
        const lost = gone || error.unknown;
        if (lost) this.#id = ""; // what it holds is not known any more: it is made again
        if (tries >= TRIES || !(lost || error.status === 503 || error.status === 429)) throw error;
        const seconds = gone ? 0 : error.wait || tries / 2;
        await new Promise((done) => setTimeout(done, 1000 * Math.min(seconds, LONGEST_WAIT)));
      }
    }
  }

  async #do(order) {
    if (order.kind === "anew") {
      this.anew = true;
      return this.#answered(order, this.fields, null);
    }
    if (order.kind === "judge") return this.#judge(order);
    if (order.kind === "undo" && this.anew) {
      this.anew = false; // back to the object before
      return this.#answered(order, this.fields, null);
    }
    if (order.kind === "slice") return this.#look(order);
    if (order.kind === "undo" || order.kind === "redo") {
      const reply = await this.#ask("POST", `${this.#place}/${order.kind}`);
      const fields = await this.#promptOf(reply);
      if (fields.moved) {
        this.#at += order.kind === "undo" ? -1 : 1;
        this.anew = false;
      }
      const mask = await reply.blob();
      return this.#answered(order, fields, mask, await this.#follow(fields));
    }
    const prompt = this.#prompt(order);
    const reply = await this.#predict(prompt);
    const object = this.anew || !this.#at ? order.number : this.#object;
    this.#steps = [...this.#steps.slice(0, this.#at), { prompt, object }];
    this.#at += 1;
    this.anew = false;
    return this.#answered(order, await this.#promptOf(reply), await reply.blob());
  }

  #answered(order, fields, mask, picture = null) {
    this.fields = fields;
    if (!this.#ended) this.#tell("answer", { order, fields, mask, picture, anew: this.anew });
  }

  /** Another slice: its prompt, its mask and its picture. */
  async #look({ axis, index, ...order }) {
    this.slice = { axis, index };
    const fields = this.#here(await (await this.#ask("GET", this.#place)).json());
    this.#answered({ ...order, axis, index }, fields, await this.#seen("mask"), await this.#seen("image"));
  }

  /** The picture of the slice that a step back or forward was made on; null where it is looked at already. */
  async #follow({ axis, index }) {
    if (!this.slice || (axis === this.slice.axis && index === this.slice.index)) return null;
    this.slice = { axis, index };
    return this.#seen("image");
  }

  /** The fields of a session, made to be about the slice on show. */
  #here(fields) {
    if (!this.slice || (fields.axis === this.slice.axis && fields.index === this.slice.index)) return fields;
    const prompt = (fields.axis === this.slice.axis && fields.prompts[this.slice.index]) || EMPTY;
    return { ...fields, ...prompt, scores: null, verdict: null, warnings: [] };
  }

  async #seen(what) {
    const query = this.slice ? `?axis=${this.slice.axis}&index=${this.slice.index}` : "";
    return (await this.#ask("GET", `${this.#place}/${what}${query}`)).blob();
  }

  #prompt(order) {
    const { points, labels, box } = this.anew || !this.fields ? EMPTY : this.fields;
    const more = { ...this.slice, anew: this.anew };
    if (order.kind === "click") {
      return { points: [...points, [order.x, order.y]], labels: [...labels, order.label], box, ...more };
    }
    if (order.kind === "candidate") return { points, labels, box, candidate: order.candidate, ...more };
    const [x0, y0, x1, y1] = order.box; // clicks outside of a new box were about something else
    const kept = points.map(([x, y]) => x >= x0 && x <= x1 && y >= y0 && y <= y1);
    return { points: points.filter((_, n) => kept[n]), labels: labels.filter((_, n) => kept[n]), box: order.box, ...more };
  }

  #predict(prompt) {
    return this.#ask("POST", `${this.#place}/predict`, { body: JSON.stringify(prompt), kind: "application/json" });
  }

  async #judge({ accept, ...words }) {
    const reply = await this.#ask("POST", `${this.#place}/${accept ? "accept" : "reject"}`, {
      body: JSON.stringify(words.by || words.note ? { by: words.by, note: words.note } : {}),
      kind: "application/json",
    });
    await reply.arrayBuffer();
    const id = reply.headers.get("X-Mask-Id") ?? "";
    this.#tell("judged", { accept, id, ...this.fields, by: words.by, note: words.note, object: this.#object });
    this.anew = true;
    this.#answered({ ...words, accept, id }, this.fields, null);
  }

  /** A session once more, with every step that there was: the same masks. */
  async #again() {
    await this.#begin();
    let reply = null;
    for (const { prompt } of this.#steps) reply = await this.#predict(prompt);
    for (let back = this.#steps.length; back > this.#at; back--) reply = await this.#ask("POST", `${this.#place}/undo`);
    if (reply) this.fields = await this.#promptOf(reply);
    if (reply && this.slice) this.fields = this.#here(await (await this.#ask("GET", this.#place)).json());
  }

  async #begin() {
    const { image, file } = this.#source;
    const reply = file
      ? await this.#ask("POST", "sessions", { body: file, kind: "application/octet-stream" })
      : await this.#ask("POST", `sessions?image=${encodeURIComponent(image)}`);
    this.fields = await reply.json();
    this.#id = this.fields.id;
    this.shape = this.fields.shape ?? null;
    this.spacing = this.fields.spacing_mm ?? null;
    if (this.shape) this.slice ??= { axis: "z", index: Math.floor(this.shape[2] / 2) };
    if (this.#ended) this.end(); // while it began
    return this.fields;
  }

  /** The fields of a prompt; of a long one the header has not all. */
  async #promptOf(reply) {
    const fields = JSON.parse(reply.headers.get("X-Prompt"));
    if (!fields.left_out) return fields;
    return { ...(await (await this.#ask("GET", this.#place)).json()), ...fields };
  }

  #ask(method, place, given) {
    return this.#service.ask(method, place, given);
  }
}
