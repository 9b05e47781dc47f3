// Copyright 2026 The lingshu_jax authors
// SPDX-License-Identifier: Apache-2.0
// The list of keys, and the agreement of the reviewers.

import { make } from "/panels.js";

const KEYS = {
  "Compare": { A: "A is better", B: "B is better", Q: "both are good", N: "neither is" },
  "Approve": { A: "approve", E: "edit", R: "reject, then 1 to 8 for reasons, N for a note, Enter",
    "Ctrl+Enter": "save an edit", Escape: "leave it" },
  "Verify": { Y: "yes", N: "no", "\u2191 \u2193": "the question before, after", Enter: "save" },
  "Items": { "\u2190 \u2192": "the one before, after", G: "next undecided", S: "skip",
    U: "take the last decision back", T: "agreement", "?": "this list" },
  "Picture": { "+ \u2212": "larger, smaller (or the wheel)", 0: "whole picture, first window",
    "H J K L": "move (or drag)", "[ ]": "picture before, after",
    ", .": "frame before, after (or Shift and the wheel)" },
  "Window": { "Shift \u2190 \u2192": "narrower, wider", "Shift \u2191 \u2193": "level",
    W: "next window", I: "invert", "right button": "drag: width and level" },
};

export function keysOf() {
  const parts = Object.entries(KEYS).map(([title, keys]) => make("section", {},
    make("h2", { textContent: title }),
    ...Object.entries(keys).map(([key, does]) => make("div", {},
      make("kbd", { textContent: key }), does))));
  return [make("h1", { textContent: "Keys" }), make("div", { className: "keys" }, ...parts)];
}

const share = (value) => `${(100 * value).toFixed(1)} %`;
const kappa = (value) => (value === null ? "\u2013" : value.toFixed(2));

function table(head, rows) {
  const line = (tag, cells) => make("tr", {},
    ...cells.map((cell) => make(tag, { textContent: cell })));
  return make("div", { className: "scroll" }, make("table", {},
    make("thead", {}, line("th", head)),
    make("tbody", {}, ...rows.map((row) => line("td", row)))));
}

export function agreementOf(told) {
  const tasks = Object.entries(told);
  const parts = tasks.flatMap(([task, found]) => {
    const title = make("h2", { textContent: `${task}: ${found.items} decided` });
    if (!found.pairs.length) {
      return [title, make("p", { textContent: "No item was decided by two reviewers yet." })];
    }
    const rows = found.pairs.map((pair) => [
      `${pair.reviewers[0]} and ${pair.reviewers[1]}`, pair.n, share(pair.agreement),
      `${share(pair.interval[0])} to ${share(pair.interval[1])}`, kappa(pair.kappa),
    ]);
    const head = ["reviewers", "items", "agree", "95 %", "Cohen's \u03ba"];
    const all = found.all;
    const left = all.left_out ? `; left out, with another number: ${all.left_out}` : "";
    const line = `All: Fleiss' \u03ba ${kappa(all.kappa)}, ${share(all.agreement)} of pairs of ` +
      `verdicts agree (items: ${all.n}; reviewers of each: ${all.raters}${left})`;
    return [title, table(head, rows), make("p", { textContent: line })];
  });
  const none = make("p", { textContent: "Nothing is decided yet." });
  return [make("h1", { textContent: "Agreement" }), ...(tasks.length ? parts : [none])];
}
