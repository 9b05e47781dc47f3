// Copyright 2026 The lingshu_jax authors
// SPDX-License-Identifier: Apache-2.0
// What stands beside the picture: the texts of an item and what may be decided about it. All that a
// row says is text; nothing becomes markup.

export function make(tag, options = {}, ...children) {
  const { data = {}, on, ...rest } = options;
  const element = Object.assign(document.createElement(tag), rest);
  Object.assign(element.dataset, data);
  if (on) element.addEventListener("click", on);
  element.append(...children);
  return element;
}

export function button(label, key, on, className = "") {
  const element = make("button", { on, className, data: { key } });
  if (key) element.append(make("kbd", { textContent: key }));
  element.append(label);
  return element;
}

const ROLES = { user: "Question", assistant: "Answer", system: "Instruction" };

function turnsOf(turns) {
  return turns.flatMap((turn) => [
    make("div", { className: "role", textContent: ROLES[turn.role] }),
    make("div", { className: `turn ${turn.role}`, textContent: words(turn) }),
  ]);
}

function words(turn) {
  return turn.texts.filter((text) => text !== null).join("\n").trim();
}

function originOf(item) {
  if (!item.origin) return [];
  const letters = item.task === "compare" ? ["A", "B"] : [""];
  const parts = item.origin.rows.map((row, place) => {
    const list = make("dl");
    for (const [name, value] of Object.entries(row)) {
      const text = typeof value === "string" ? value : JSON.stringify(value, null, 1);
      list.append(make("dt", { textContent: name }), make("dd", { textContent: text }));
    }
    const title = `Where ${letters[place] || "it"} comes from`;
    return [make("div", { className: "role", textContent: title }), list];
  });
  const others = item.origin.others;
  const said = others.length ? `Other reviewers: ${others.join(", ")}` : "No other reviewer yet";
  return [make("div", { className: "origin" }, make("div", { textContent: said }), ...parts.flat())];
}

function stateOf(item) {
  const line = make("p", { className: "state" });
  if (item.mine) {
    const said = item.mine.verdict === "a" || item.mine.verdict === "b"
      ? `${item.mine.verdict.toUpperCase()} is better` : item.mine.verdict;
    line.append("You decided: ", make("strong", { textContent: said }));
    const more = [...(item.mine.reasons || []), item.mine.note].filter(Boolean);
    if (more.length) line.append(` (${more.join("; ")})`);
  } else if (item.state === "closed") {
    line.append("Enough others have decided this one.");
  } else if (item.state === "skipped") {
    line.append("You skipped this one.");
  } else {
    return [];
  }
  return [line];
}

// A panel has `keys`, a function by key; `draft` and `restore` keep what is not yet decided.
class Panel {
  constructor(item, places, decide, app) {
    Object.assign(this, { item, places, decide, app, keys: {} });
    this.draw();
  }

  fill(texts, actions) {
    this.places.text.replaceChildren(...stateOf(this.item), ...texts, ...originOf(this.item));
    this.places.actions.replaceChildren(
      ...actions,
      button("skip", "s", () => this.app.skip(), "quiet"),
      button("undo", "u", () => this.app.undo(), "quiet"),
    );
  }

  act(label, key, on, className) {
    this.keys[key] = on;
    return button(label, key, on, className);
  }

  draft() {
    return null;
  }

  restore() {}
}

class Compare extends Panel {
  draw() {
    this.keys = {};
    const chosen = this.item.mine?.verdict;
    const sides = this.item.sides.map((text, place) => make("div", {
      className: `side${"ab"[place] === chosen ? " chosen" : ""}`,
    }, make("b", { textContent: "AB"[place] }), text));
    const say = (verdict) => () => this.decide({ verdict });
    this.fill([...turnsOf(this.item.turns), make("div", { className: "sides" }, ...sides)], [
      this.act("A better", "a", say("a")),
      this.act("B better", "b", say("b")),
      this.act("both good", "q", say("both"), "good"),
      this.act("neither", "n", say("neither"), "bad"),
    ]);
  }
}

class Approve extends Panel {
  draw() {
    this.mode = "";
    this.keys = {};
    this.fill(turnsOf(this.item.turns), [
      this.act("approve", "a", () => this.decide({ verdict: "approve" }), "good"),
      this.act("edit", "e", () => this.edit()),
      this.act("reject", "r", () => this.reject(), "bad"),
    ]);
  }

  // What goes along with an edit.
  checks() {
    return {};
  }

  edit(texts) {
    this.mode = "edit";
    this.keys = { Escape: () => this.cancel(), "Ctrl+Enter": () => this.save() };
    this.fields = [];
    const changed = new Map((texts || this.item.mine?.texts || []).map(([m, p, t]) => [`${m} ${p}`, t]));
    const rows = this.item.turns.flatMap((turn, message) => {
      if (turn.role === "system") return turnsOf([turn]);
      const made = turn.texts.flatMap((text, part) => {
        if (text === null) return [];
        const value = changed.get(`${message} ${part}`) ?? text;
        const area = make("textarea", { value, ariaLabel: ROLES[turn.role], rows: 1 });
        area.rows = Math.min(Math.max(Math.ceil(value.length / 48) + 1, 3), 16);
        area.addEventListener("input", () => this.app.keepDraft());
        this.fields.push({ message, part, text, area });
        return [area];
      });
      return [make("div", { className: "role", textContent: ROLES[turn.role] }), ...made];
    });
    this.fill(rows, [
      this.act("save", "Ctrl+Enter", () => this.save(), "good"),
      this.act("cancel", "Escape", () => this.cancel()),
    ]);
    this.fields.at(-1)?.area.focus();
  }

  changes() {
    return this.fields
      .filter(({ area, text }) => area.value !== text)
      .map(({ message, part, area }) => [message, part, area.value]);
  }

  save() {
    const texts = this.changes();
    if (!texts.length) this.app.say("Nothing was changed.");
    else if (texts.some(([, , text]) => !text.trim())) this.app.say("A text is empty.");
    else this.decide({ verdict: "edit", texts, ...this.checks() });
  }

  reject(kept) {
    this.mode = "reject";
    this.reasons = new Set(kept?.reasons || []);
    this.keys = { Escape: () => this.cancel(), Enter: () => this.saveReject() };
    const list = this.app.reasons.map((reason, place) => {
      const toggle = () => {
        if (!this.reasons.delete(reason)) this.reasons.add(reason);
        made.setAttribute("aria-pressed", this.reasons.has(reason));
        this.app.keepDraft();
      };
      const made = this.act(reason, String(place + 1), toggle);
      made.setAttribute("aria-pressed", this.reasons.has(reason));
      return made;
    });
    this.note = make("textarea", { rows: 2, ariaLabel: "Note", placeholder: "Note (N)",
      maxLength: 2000, value: kept?.note || "" });
    this.note.addEventListener("input", () => this.app.keepDraft());
    this.keys.n = () => this.note.focus();
    this.keys["Ctrl+Enter"] = this.keys.Enter;
    const title = make("div", { className: "role", textContent: "Why is it rejected?" });
    this.fill([title, make("div", { className: "reasons" }, ...list), this.note,
      ...turnsOf(this.item.turns)], [
      this.act("reject", "Enter", () => this.saveReject(), "bad"),
      this.act("cancel", "Escape", () => this.cancel()),
    ]);
    this.places.text.scrollTop = 0;
  }

  saveReject() {
    const reasons = [...this.reasons];
    const note = this.note.value;
    if (!reasons.length && !note.trim()) this.app.say("A rejection needs a reason.");
    else this.decide({ verdict: "reject", reasons, note });
  }

  cancel() {
    this.draw();
    this.app.keepDraft();
  }

  draft() {
    if (this.mode === "edit") return { edit: this.changes() };
    if (this.mode === "reject") return { reject: { reasons: [...this.reasons], note: this.note.value } };
    return null;
  }

  restore(kept) {
    if (kept.edit) this.edit(kept.edit);
    if (kept.reject) this.reject(kept.reject);
  }
}

class Verify extends Approve {
  draw() {
    this.mode = "";
    const { steps, answer, gold, mine } = this.item;
    this.marks ||= [
      ...steps.map((text, place) => ({ text, good: true, value: mine?.steps?.[place] ?? null })),
      { text: "Does the answer agree with the ground truth?", good: true,
        value: mine?.consistent ?? null },
      { text: "Does the trace say that it saw the answer?", good: false,
        value: mine?.leaks ?? null },
    ];
    this.at = Math.max(this.marks.findIndex((mark) => mark.value === null), 0);
    this.keys = {
      y: () => this.mark(true), n: () => this.mark(false),
      ArrowUp: () => this.go(-1), ArrowDown: () => this.go(1),
    };
    const asked = turnsOf(this.item.turns.slice(0, -1));
    this.rows = this.marks.map((mark, place) => this.row(mark, place));
    const role = (textContent) => make("div", { className: "role", textContent });
    this.fill([
      ...asked, role("Is each step supported by the picture and the question?"),
      ...this.rows.slice(0, steps.length),
      role("Answer"), make("div", { className: "turn", textContent: answer || "(none)" }),
      role("Ground truth"), make("div", { className: "gold", textContent: gold || "(not given)" }),
      role("And the whole?"), ...this.rows.slice(steps.length),
    ], [
      this.act("save", "Enter", () => this.saveMarks(), "good"),
      this.act("edit", "e", () => this.edit()),
    ]);
    this.show();
  }

  row(mark, place) {
    const marks = [true, false].map((value) => make("button", {
      className: value === mark.good ? "yes" : "no", textContent: value ? "yes" : "no",
      data: { value }, on: () => { this.at = place; this.mark(value); },
    }));
    return make("div", { className: "check" }, make("div", { className: "step",
      textContent: mark.text }), make("div", { className: "marks" }, ...marks));
  }

  show() {
    this.rows.forEach((row, place) => {
      row.classList.toggle("current", place === this.at);
      for (const made of row.querySelectorAll("button")) {
        made.setAttribute("aria-pressed", made.dataset.value === String(this.marks[place].value));
      }
    });
    const left = this.marks.filter((mark) => mark.value === null).length;
    const isGood = this.marks.every((mark) => mark.value === mark.good);
    const label = left ? `${left} left` : isGood ? "save: approve" : "save: reject";
    const saves = this.places.actions.querySelector('[data-key="Enter"]');
    if (saves) {
      saves.lastChild.textContent = label;
      saves.disabled = left > 0;
      saves.className = left || isGood ? "good" : "bad";
    }
  }

  go(by) {
    this.at = Math.min(Math.max(this.at + by, 0), this.marks.length - 1);
    this.show();
    this.rows[this.at].scrollIntoView({ block: "nearest" });
  }

  mark(value) {
    this.marks[this.at].value = value;
    this.app.keepDraft();
    this.go(1);
  }

  checks() {
    const values = this.marks.map((mark) => mark.value);
    return { steps: values.slice(0, -2), consistent: values.at(-2), leaks: values.at(-1) };
  }

  isMarked() {
    if (this.marks.every((mark) => mark.value !== null)) return true;
    this.app.say("First answer all the questions (Y or N).");
    return false;
  }

  saveMarks() {
    const isGood = this.marks.every((mark) => mark.value === mark.good);
    if (this.isMarked()) this.decide({ verdict: isGood ? "approve" : "reject", ...this.checks() });
  }

  save() {
    if (this.isMarked()) super.save();
  }

  draft() {
    const values = this.marks.map((mark) => mark.value);
    return values.every((value) => value === null) && !this.mode ? null
      : { values, ...super.draft() };
  }

  restore(kept) {
    kept.values?.forEach((value, place) => {
      if (this.marks[place]) this.marks[place].value = value;
    });
    this.draw();
    super.restore(kept);
  }
}

export const PANELS = { compare: Compare, approve: Approve, verify: Verify };
