// Copyright 2026 The lingshu_jax authors
// SPDX-License-Identifier: Apache-2.0
// The review page: who reviews, which item is shown, what the keys do.

import { agreementOf, keysOf } from "/dialogs.js";
import { ask, number, Outbox } from "/outbox.js";
import { button, make, PANELS } from "/panels.js";
import { Viewer } from "/viewer.js";

const find = (id) => document.getElementById(id);
const NAMES = { compare: "Compare", approve: "Approve", verify: "Verify" };
const AGAIN = 3000; // milliseconds until an unreachable server is asked once more
const TOLD = 4500; // milliseconds that a line is shown

class App {
  constructor() {
    this.viewer = new Viewer(find("viewer"));
    this.items = new Map(); // by key, as the server tells them
    this.queue = [];
    this.place = -1;
    this.done = []; // what was decided since the page was opened, for undo
    this.reasons = [];
    this.panel = null;
    find("help").addEventListener("click", () => this.dialog(keysOf()));
    find("table").addEventListener("click", () => this.agreement());
    find("who").addEventListener("click", () => this.greet());
    document.addEventListener("keydown", (event) => this.press(event));
    const name = localStorage.getItem("review name");
    if (name) this.enter(name);
    else this.greet();
  }

  // -- who

  greet() {
    const field = make("input", { id: "name", maxLength: 60, required: true,
      autocomplete: "off", value: this.name || "", ariaLabel: "Name or initials" });
    const fault = make("p", { className: "fault" });
    const form = make("form", {}, make("h1", { textContent: "Who reviews?" }),
      make("p", { textContent: "Your name or initials keep your decisions apart from those of " +
        "others. They leave this folder in no export." }), field, fault,
      make("button", { textContent: "Begin" }));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        await this.load(field.value.trim());
        this.close();
        this.begin();
      } catch (error) {
        fault.textContent = error.message;
      }
    });
    this.dialog([form], Boolean(this.name));
    field.focus();
  }

  async enter(name) {
    try {
      await this.load(name);
      this.begin();
    } catch (error) {
      if (error.status === 400) this.greet();
      else this.say(error.status ? error.message : "The server is not reachable.", true);
      if (!error.status) setTimeout(() => this.enter(name), AGAIN);
    }
  }

  async load(name) {
    const told = await ask(`/api/queue?reviewer=${encodeURIComponent(name)}`);
    if (name !== this.name) {
      this.items.clear();
      this.done = [];
    }
    Object.assign(this, { name, reasons: told.reasons, review: told.review });
    this.queue = told.items.map(([key, task, state]) => ({ key, task, state }));
    localStorage.setItem("review name", name);
  }

  async begin() {
    find("who").textContent = this.name;
    find("main").hidden = false;
    this.outbox ||= new Outbox(this.review, {
      onChange: (count, fault) => this.waits(count, fault),
      onSaved: (entry, told) => this.saved(entry, told),
      onRefused: (entry, error) => this.say(`A decision was refused: ${error.message}`, true),
    });
    await this.outbox.ready;
    // What was decided and is not yet there stands here already.
    for (const { reviewer, decision } of this.outbox.waiting()) {
      if (reviewer === this.name) this.stand(decision);
    }
    this.outbox.flush();
    this.place = -1;
    this.next();
  }

  // -- which item

  progress() {
    const asked = this.queue.filter((entry) => entry.state !== "closed");
    const decided = asked.filter((entry) => entry.state === "decided");
    find("count").textContent = `${decided.length} of ${asked.length}`;
    const share = asked.length ? decided.length / asked.length : 0;
    find("progress").firstElementChild.style.width = `${100 * share}%`;
    find("progress").setAttribute("aria-valuenow", Math.round(100 * share));
    const current = this.queue[this.place]?.task;
    const tabs = Object.keys(NAMES).flatMap((task) => {
      const ours = asked.filter((entry) => entry.task === task);
      if (!ours.length) return [];
      const left = ours.filter((entry) => entry.state !== "decided").length;
      const tab = make("button", { textContent: `${NAMES[task]} ${left || "\u2713"}`,
        title: `${left} left`, on: () => this.next(task) });
      tab.setAttribute("aria-current", task === current);
      return [tab];
    });
    find("tasks").replaceChildren(...tabs);
  }

  // The next one that is open, then those that were skipped.
  next(task) {
    const turned = this.queue.map((_, i) => (this.place + 1 + i) % this.queue.length);
    const wanted = turned.filter((i) => !task || this.queue[i].task === task);
    const place = ["open", "skipped"].flatMap((state) =>
      wanted.filter((i) => this.queue[i].state === state))[0];
    if (place !== undefined) this.go(place);
    else if (task && wanted.length) this.go(wanted[0]);
    else this.finish();
  }

  following() {
    const turned = this.queue.map((_, i) => this.queue[(this.place + 1 + i) % this.queue.length]);
    return turned.slice(0, -1).find((entry) => entry.state === "open");
  }

  async fetchItem(key) {
    const told = await ask(`/api/items/${key}?reviewer=${encodeURIComponent(this.name)}`);
    this.items.set(key, told);
    return told;
  }

  async go(place) {
    const entry = this.queue[place];
    if (!entry) return;
    this.place = place;
    clearTimeout(this.again);
    this.progress();
    let item = this.items.get(entry.key);
    if (!item || entry.state === "decided") {
      try {
        item = await this.fetchItem(entry.key);
      } catch (error) {
        if (this.queue[this.place] !== entry) return;
        if (!item) {
          this.wait(error);
          return;
        }
      }
    }
    if (this.queue[this.place] !== entry) return; // somebody was faster than the server
    if (item.state === "closed" && entry.state === "open") {
      entry.state = "closed";
      this.next();
      return;
    }
    this.show(entry, item);
    const following = this.following();
    if (following) {
      const known = this.items.get(following.key);
      const found = known || (await this.fetchItem(following.key).catch(() => null));
      if (found) this.viewer.prefetch(following.key, found.pictures);
    }
  }

  wait(error) {
    const line = error.status ? error.message
      : "The server is not reachable. What you have decided is kept here and will be sent again.";
    this.panel = null;
    find("main").className = "plain";
    find("text").replaceChildren(make("p", { className: "fault", textContent: line }));
    find("actions").replaceChildren();
    this.again = setTimeout(() => this.go(this.place), AGAIN);
  }

  show(entry, item) {
    this.started = performance.now();
    const main = find("main");
    main.className = item.task;
    main.classList.toggle("plain", !item.pictures);
    main.dataset.item = entry.key;
    const mine = entry.decision ? { ...entry.decision } : item.mine;
    const shown = { ...item, mine, state: entry.state };
    const places = { text: find("text"), actions: find("actions") };
    find("text").scrollTop = 0;
    this.panel = new PANELS[item.task](shown, places, (said) => this.decide(entry, said), this);
    const kept = localStorage.getItem(this.draftName(entry.key));
    if (kept && entry.state !== "decided") this.panel.restore(JSON.parse(kept));
    this.viewer.show(entry.key, item.pictures);
    this.progress();
  }

  finish() {
    this.panel = null;
    this.place = -1;
    this.progress();
    find("main").className = "plain";
    find("main").dataset.item = "";
    find("text").replaceChildren(
      make("h1", { textContent: "All is decided." }),
      make("p", { textContent: "\u2190 goes back to what you have decided; U takes the last one " +
        "back; T shows how far reviewers agree." }),
    );
    find("actions").replaceChildren(button("undo", "u", () => this.undo(), "quiet"),
      button("agreement", "t", () => this.agreement(), "quiet"));
  }

  // -- what is decided

  draftName(key) {
    return `review ${this.review} draft ${this.name} ${key}`;
  }

  keepDraft() {
    const name = this.draftName(this.queue[this.place].key);
    const kept = this.panel?.draft();
    if (kept) localStorage.setItem(name, JSON.stringify(kept));
    else localStorage.removeItem(name);
  }

  // What a decision changes here, before the server has it.
  stand(decision) {
    const entry = this.queue.find(({ key }) => key === decision.item);
    if (!entry) return;
    const { verdict } = decision;
    entry.state = verdict === "undo" ? "open" : verdict === "skip" ? "skipped" : "decided";
    entry.decision = entry.state === "decided" ? decision : null;
  }

  decide(entry, said) {
    const seconds = Math.round((performance.now() - this.started) / 100) / 10;
    const decision = { ...said, number: number(), item: entry.key, seconds };
    if (said.verdict !== "undo") this.done.push(decision);
    this.stand(decision);
    const item = this.items.get(entry.key);
    if (item) Object.assign(item, { mine: null, origin: null });
    localStorage.removeItem(this.draftName(entry.key));
    this.outbox.put(this.name, decision);
    if (said.verdict !== "undo") this.next();
  }

  skip() {
    const entry = this.queue[this.place];
    if (entry && entry.state !== "decided") this.decide(entry, { verdict: "skip" });
  }

  undo() {
    const current = this.queue[this.place];
    let last = this.done.pop();
    if (!last && current?.state === "decided") {
      const mine = current.decision || this.items.get(current.key)?.mine;
      last = mine && { number: mine.number, item: current.key };
    }
    if (!last) {
      this.say("There is nothing to take back; \u2190 goes to what you decided before.");
      return;
    }
    const place = this.queue.findIndex(({ key }) => key === last.item);
    this.decide(this.queue[place], { verdict: "undo", undoes: last.number });
    this.go(place);
    this.say("Taken back.");
  }

  waits(count, fault) {
    const line = find("saved");
    line.classList.toggle("waiting", count > 0);
    line.textContent = count ? `${count} not yet saved` : "saved";
    line.title = fault ? `${fault.message}; kept in this browser and sent again` : "";
    if (fault?.status === 401) this.say(fault.message, true);
  }

  saved({ reviewer, decision }, told) {
    if (reviewer !== this.name) return;
    const entry = this.queue.find(({ key }) => key === told.item);
    if (!entry) return;
    const isLater = this.outbox.waiting().some((other) => other.decision.item === told.item);
    if (!isLater) entry.state = told.state;
    if (told.origin && decision.verdict !== "undo") {
      const from = told.origin.rows.map((row) => [row.model, row.recipe].filter(Boolean).join(", "));
      if (from.some(Boolean)) this.say(`It was from: ${from.join(" | ")}`);
    }
    this.progress();
  }

  // -- dialogs and keys

  say(text, isFault = false) {
    const toast = find("toast");
    toast.textContent = text;
    toast.className = isFault ? "fault" : "";
    toast.hidden = false;
    clearTimeout(this.telling);
    this.telling = setTimeout(() => { toast.hidden = true; }, TOLD);
  }

  dialog(content, canClose = true) {
    const box = find("dialog");
    const end = make("div", { className: "end" }, button("close", "Escape", () => this.close()));
    box.replaceChildren(...content, ...(canClose ? [end] : []));
    box.oncancel = (event) => { if (!canClose) event.preventDefault(); };
    if (!box.open) box.showModal();
  }

  close() {
    find("dialog").close();
  }

  async agreement() {
    try {
      this.dialog(agreementOf(await ask("/api/agreement")));
    } catch (error) {
      this.say(error.status ? error.message : "The server is not reachable.", true);
    }
  }

  press(event) {
    if (find("dialog").open || event.isComposing || event.altKey || event.metaKey) return;
    const isArrow = event.key.startsWith("Arrow");
    const held = (event.ctrlKey ? "Ctrl+" : "") + (event.shiftKey && isArrow ? "Shift+" : "");
    const key = held + event.key;
    const isTyping = event.target.matches("textarea, input:not([type=range]), select");
    if (isTyping && key !== "Escape" && key !== "Ctrl+Enter") return;
    const onButton = event.target.matches("button") && (key === "Enter" || key === " ");
    if (onButton) return;
    if (isTyping && event.target.matches("select")) event.target.blur();
    const act = this.panel?.keys[key] ||
      this.panel?.keys[key.toLowerCase()] || this.keys()[key] || this.keys()[key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  }

  keys() {
    const { viewer } = this;
    const far = 60; // pixels
    const back = () => this.go(this.place < 0 ? this.queue.length - 1 : this.place - 1);
    return {
      ArrowLeft: back, ArrowRight: () => this.go(this.place + 1),
      "Shift+ArrowLeft": () => viewer.level(0, -15), "Shift+ArrowRight": () => viewer.level(0, 15),
      "Shift+ArrowUp": () => viewer.level(-15, 0), "Shift+ArrowDown": () => viewer.level(15, 0),
      "?": () => this.dialog(keysOf()), t: () => this.agreement(),
      g: () => this.next(), s: () => this.skip(), u: () => this.undo(),
      "+": () => viewer.zoom(1.3), "=": () => viewer.zoom(1.3), "-": () => viewer.zoom(1 / 1.3),
      0: () => viewer.reset(), w: () => viewer.nextWindow(), i: () => viewer.invert(),
      h: () => viewer.pan(far, 0), l: () => viewer.pan(-far, 0),
      j: () => viewer.pan(0, -far), k: () => viewer.pan(0, far),
      "[": () => viewer.turn(-1), "]": () => viewer.turn(1),
      ",": () => viewer.step(-1), ".": () => viewer.step(1),
    };
  }
}

new App();
