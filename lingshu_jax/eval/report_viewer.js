// Copyright 2026 The lingshu_jax authors
// SPDX-License-Identifier: Apache-2.0
//
// The browser of all answers in report.html and compare.html. report_viewer.py packs what it reads.
// Whatever a model or a data set says reaches the page as text, never as markup. The filters and the
// place stand in the address, `#viewer?benchmark=...&at=51`, so that a view can be linked.
"use strict";
(() => {
  const PAGE = 50;
  const PREFIX = "#viewer";
  const TEXTS = ["id", "question", "options", "gold", "response"]; // what a search reads
  const SOME = ["reason", "stratum", "judge"]; // filters by what a row may have or not
  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const at = (id) => document.getElementById(id);

  let columns; // by name: {values, index}; of a comparison, those of the second end in _2
  let sides = [["response", ""]]; // titles of the answers of a card, and what their columns end in
  let size = 0; // rows
  let filters = []; // {key, options: Map of value to a test of rows}
  let matches = []; // rows
  let state = {};
  let pictures = ""; // base64 texts, one a line
  let lines = []; // where each begins

  const slot = (name, row) => {
    const { index } = columns[name];
    return index === null ? row : index[row];
  };
  const get = (name, row) => columns[name].values[slot(name, row)];

  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children); // strings become text nodes
    return made;
  }

  async function unpack(id) {
    const binary = atob(at(id).textContent);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  }

  // A test of rows from one of a column's distinct values: each value is looked at once.
  function byValue(name, accepts) {
    const accepted = Uint8Array.from(columns[name].values, (value) => (accepts(value) ? 1 : 0));
    return (row) => accepted[slot(name, row)] === 1;
  }

  const distinct = (name) => [...new Set(columns[name].values.filter((value) => value))].sort();

  function plainFilter(key, column, names) {
    const options = new Map();
    for (const name of names) options.set(name, byValue(column, (value) => value === name));
    return { key, options };
  }

  function verdictFilter() {
    const is = (mode, wanted) => byValue(mode, (value) => value === wanted);
    const options = new Map([
      ["strict wrong", is("strict", false)],
      ["strict right", is("strict", true)],
      ["compat wrong", is("compat", false)],
      ["compat right", is("compat", true)],
      ["compat and strict differ", (row) => get("compat", row) !== get("strict", row)],
      ["compat right, strict wrong", both(is("compat", true), is("strict", false))],
      ["compat wrong, strict right", both(is("compat", false), is("strict", true))],
      ["no verdict", is("strict", null)],
    ]);
    return { key: "verdict", options };
  }

  const both = (one, two) => (row) => one(row) && two(row);

  // What became of a verdict from the first evaluation to the second.
  function changeFilter() {
    const options = new Map();
    for (const mode of ["strict", "compat"]) {
      const is = (suffix, wanted) => byValue(mode + suffix, (value) => value === wanted);
      options.set(`${mode} lost`, both(is("", true), is("_2", false)));
      options.set(`${mode} gained`, both(is("", false), is("_2", true)));
      options.set(`${mode} wrong in both`, both(is("", false), is("_2", false)));
      options.set(`${mode} right in both`, both(is("", true), is("_2", true)));
    }
    options.set("another text", (row) => get("response", row) !== get("response_2", row));
    return { key: "change", options };
  }

  function stratumFilter() {
    const groups = new Map();
    for (const strata of columns.strata.values) {
      for (const [name, value] of Object.entries(strata || {})) {
        if (!groups.has(name)) groups.set(name, new Set());
        groups.get(name).add(value);
      }
    }
    const options = new Map();
    for (const [name, values] of groups) {
      for (const value of [...values].sort()) {
        const accepts = (strata) => strata !== null && strata[name] === value;
        options.set(`${name}: ${value}`, byValue("strata", accepts));
      }
    }
    return { key: "stratum", options };
  }

  // What a judge said: a word, or a score by a list of criteria.
  const said = (verdict) =>
    typeof verdict === "number" ? `${(100 * verdict).toFixed(1)}%` : String(verdict);

  // Whether a judge said the opposite of a rule; ungradable answers and failures are no opposite.
  function contradicts(row, mode, judge) {
    const word = (get("judge", row) || {})[judge];
    const correct = get(mode, row);
    return (word === "correct" && correct === false) || (word === "incorrect" && correct === true);
  }

  function judgeFilter() {
    const options = new Map();
    const words = new Map();
    for (const given of columns.judge.values) {
      for (const [judge, verdict] of Object.entries(given || {})) {
        if (!words.has(judge)) words.set(judge, new Set());
        if (typeof verdict === "string") words.get(judge).add(verdict);
      }
    }
    for (const [judge, known] of words) {
      for (const mode of ["strict", "compat"]) {
        options.set(`${judge} and ${mode} differ`, (row) => contradicts(row, mode, judge));
      }
      for (const word of [...known].sort()) {
        const accepts = (given) => given !== null && given[judge] === word;
        options.set(`${judge}: ${word}`, byValue("judge", accepts));
      }
    }
    return { key: "judge", options };
  }

  function fill(filter) {
    const select = at(`filter-${filter.key}`);
    const least = SOME.includes(filter.key) ? 1 : 2;
    select.closest("label").hidden = filter.options.size < least;
    for (const name of filter.options.keys()) {
      const shown = filter.key === "status" ? name.replaceAll("_", " ") : name;
      select.append(make("option", { value: name }, shown));
    }
    select.addEventListener("change", () => change({ [filter.key]: select.value, at: 1 }));
  }

  const searched = () => [...TEXTS, "response_2"].filter((name) => name in columns);

  // What a search reads of a column, in lower case; made once, when there is time or need.
  function lowered(name) {
    const column = columns[name];
    column.lower ??= column.values.map((value) => [value].flat().join("\n").toLowerCase());
    return column.lower;
  }

  function search(text) {
    const wanted = text.toLowerCase();
    const tests = searched().map((name) => {
      const found = Uint8Array.from(lowered(name), (value) => (value.includes(wanted) ? 1 : 0));
      return (row) => found[slot(name, row)] === 1;
    });
    return (row) => tests.some((test) => test(row));
  }

  function find() {
    const tests = filters
      .filter(({ key }) => state[key])
      .map(({ key, options }) => options.get(state[key]));
    if (state.q) tests.push(search(state.q));
    matches = [];
    for (let row = 0; row < size; row++) {
      if (tests.every((test) => test(row))) matches.push(row);
    }
  }

  // The state from an address; what does not exist there is left out.
  function parse(hash) {
    const given = new URLSearchParams(hash.slice(PREFIX.length + 1));
    const found = { q: given.get("q") || "", at: Math.max(1, parseInt(given.get("at"), 10) || 1) };
    for (const { key, options } of filters) {
      const value = given.get(key) || "";
      found[key] = options.has(value) ? value : "";
    }
    return found;
  }

  function address() {
    const told = new URLSearchParams();
    for (const { key } of filters) if (state[key]) told.set(key, state[key]);
    if (state.q) told.set("q", state.q);
    if (state.at > 1) told.set("at", state.at);
    const text = told.toString();
    return text ? `${PREFIX}?${text}` : PREFIX;
  }

  function change(changes, { focus = false } = {}) {
    const { at: place, ...others } = { ...state, ...changes };
    const { at: old, ...before } = state;
    state = { ...others, at: place };
    if (JSON.stringify(others) !== JSON.stringify(before)) find();
    state.at = Math.min(Math.max(1, state.at), Math.max(1, matches.length));
    history.replaceState(null, "", address());
    show(focus);
  }

  function show(focus) {
    const first = Math.floor((state.at - 1) / PAGE) * PAGE;
    const rows = matches.slice(first, first + PAGE);
    const cards = rows.map((row, i) => card(row, first + i));
    at("viewer-cards").replaceChildren(...cards);
    const number = (value) => value.toLocaleString("en");
    const right = (mode) =>
      sides
        .map(([, suffix]) => matches.filter((row) => get(mode + suffix, row) === true).length)
        .map(number)
        .join(" \u2192 ");
    const count = `${number(matches.length)} of ${number(size)} answers`;
    at("viewer-count").textContent = matches.length
      ? `${count}; compat right ${right("compat")}, strict right ${right("strict")}`
      : `${count}: none is like this`;
    const last = first + rows.length;
    for (const place of document.querySelectorAll("[data-place]")) {
      place.textContent = rows.length
        ? `${number(first + 1)} to ${number(last)} of ${number(matches.length)}` : "";
    }
    for (const button of document.querySelectorAll("[data-page]")) {
      button.disabled = button.dataset.page === "-1" ? first === 0 : last >= matches.length;
    }
    for (const { key } of filters) at(`filter-${key}`).value = state[key];
    if (at("filter-q").value.trim() !== state.q) at("filter-q").value = state.q;
    if (focus && cards.length) cards[state.at - 1 - first].focus();
  }

  function badge(name, correct) {
    if (correct === null) return make("span", { class: "badge soft" }, `${name} not scored`);
    const kind = correct ? "badge good" : "badge bad";
    return make("span", { class: kind }, `${name} ${correct ? "right" : "wrong"}`);
  }

  function badges(row, suffix) {
    const of = (name) => get(name + suffix, row);
    const made = [badge("compat", of("compat")), badge("strict", of("strict"))];
    const warn = (text) => made.push(make("span", { class: "badge warn" }, text));
    if (of("status") !== "ok") warn(of("status").replaceAll("_", " "));
    if (of("finish_reason") === "length") warn("cut off");
    if (of("finish_reason") === "failed") warn("no answer came");
    if (of("reason")) made.push(make("span", { class: "badge soft" }, of("reason")));
    for (const [judge, verdict] of Object.entries(of("judge") || {})) {
      const kind = { correct: "good", incorrect: "bad" }[verdict] || "warn";
      made.push(make("span", { class: `badge ${kind}` }, `${judge}: ${said(verdict)}`));
    }
    return make("div", {}, ...made);
  }

  function images(row) {
    if (!("pictures" in columns)) return [];
    const name = `${get("benchmark", row)} ${get("id", row)}`;
    const places = get("pictures", row);
    if (!places.length && get("media", row)) {
      return [make("p", { class: "soft" }, "Its picture is not in this page.")];
    }
    return places.map((place, i) => {
      const src = pictures.slice(lines[place], lines[place + 1] - 1);
      const alt = places.length > 1 ? `picture ${i + 1} of ${name}` : `picture of ${name}`;
      return make("img", { src: `data:image/webp;base64,${src}`, alt });
    });
  }

  function card(row, place) {
    const facts = make("dl");
    const tell = (name, ...values) =>
      facts.append(make("dt", {}, name), make("dd", {}, ...values));
    tell("question", get("question", row));
    const options = get("options", row) || [];
    if (options.length) tell("options", options.map((o, i) => `${LETTERS[i]}. ${o}`).join("\n"));
    tell("gold", make("b", {}, get("gold", row)));
    for (const [title, suffix] of sides) {
      const text = get(`response${suffix}`, row) || "(nothing)";
      if (sides.length > 1) tell(title, badges(row, suffix), text);
      else tell(title, text);
      const value = get(`read_as${suffix}`, row);
      if (get(`strict${suffix}`, row) === null) continue;
      tell("read as", value === null ? "\u2013" : String(value));
    }
    const strata = Object.entries(get("strata", row) || {});
    if (strata.length) tell("kind", strata.map(([name, of]) => `${name}: ${of}`).join("\n"));
    const correct = get(`strict${sides.at(-1)[1]}`, row);
    const kind = correct === null ? "card" : correct ? "card right" : "card wrong";
    const title = `${get("benchmark", row)} ${get("id", row)}`;
    const made = make("article", { class: kind, tabindex: "-1", "aria-label": title });
    const ends = sides.map(([, suffix]) => get(`finish_reason${suffix}`, row)).join(" \u2192 ");
    const type = `${get("answer_type", row).replaceAll("_", " ")}, ${ends}`;
    made.append(
      make("p", { class: "which" }, make("b", {}, title), make("small", {}, ` ${type}`)),
      ...images(row),
      ...(sides.length > 1 ? [] : [badges(row, "")]),
      facts
    );
    made.addEventListener("click", () => {
      state.at = place + 1;
      history.replaceState(null, "", address());
    });
    return made;
  }

  function step(by) {
    const focused = document.activeElement.closest("#viewer-cards article");
    const first = Math.floor((state.at - 1) / PAGE) * PAGE;
    const shown = [...at("viewer-cards").children];
    const next = focused ? first + shown.indexOf(focused) + by : state.at - 1;
    if (next < 0 || next >= matches.length) return;
    if (next < first || next >= first + PAGE) {
      change({ at: next + 1 }, { focus: true });
      return;
    }
    state.at = next + 1;
    history.replaceState(null, "", address());
    shown[next - first].focus();
  }

  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target.matches("input, select, textarea")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    const onCard = target.closest("#viewer-cards article") !== null;
    const steps = { j: 1, k: -1, ...(onCard ? { ArrowRight: 1, ArrowLeft: -1 } : {}) };
    if (event.key === "/") {
      at("filter-q").focus();
    } else if (event.key in steps) {
      step(steps[event.key]);
    } else {
      return;
    }
    event.preventDefault();
  }

  function follow() {
    if (!location.hash.startsWith(PREFIX)) return;
    const given = parse(location.hash);
    const isOneAnswer = given.at % PAGE !== 1;
    if (!isOneAnswer) at("viewer").scrollIntoView({ behavior: "instant" });
    change(given, { focus: isOneAnswer });
  }

  function listen() {
    let waiting = 0;
    at("filter-q").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => change({ q: at("filter-q").value.trim(), at: 1 }), 150);
    });
    at("viewer-clear").addEventListener("click", () => change(parse(PREFIX)));
    for (const button of document.querySelectorAll("[data-page]")) {
      button.addEventListener("click", () => {
        const first = Math.floor((state.at - 1) / PAGE) * PAGE;
        change({ at: first + 1 + PAGE * Number(button.dataset.page) }, { focus: true });
      });
    }
    document.addEventListener("keydown", press);
    window.addEventListener("hashchange", follow);
  }

  async function begin() {
    if (!("DecompressionStream" in window)) {
      at("viewer-count").textContent = "This browser cannot unpack them all. Some stand below.";
      return;
    }
    const content = await unpack("viewer-rows");
    columns = content.columns;
    size = columns.benchmark.index === null ? columns.benchmark.values.length
      : columns.benchmark.index.length;
    pictures = at("viewer-pictures")?.textContent || "";
    if ("response_2" in columns) sides = [["first", ""], ["second", "_2"]];
    for (let i = 0; i < pictures.length; i = pictures.indexOf("\n", i) + 1) lines.push(i);
    lines.push(pictures.length);
    filters = [
      plainFilter("benchmark", "benchmark", content.benchmarks),
      ...(sides.length > 1 ? [changeFilter()] : [verdictFilter()]),
      plainFilter("status", "status", distinct("status")),
      plainFilter("type", "answer_type", distinct("answer_type")),
      plainFilter("reason", "reason", distinct("reason")),
      stratumFilter(),
      judgeFilter(),
    ].filter(({ key }) => at(`filter-${key}`)); // the page has those that make sense in it
    filters.forEach(fill);
    listen();
    state = parse("");
    find();
    at("viewer-static").remove();
    at("viewer-controls").hidden = false;
    show(false);
    follow();
    setTimeout(() => searched().forEach(lowered), 500);
  }

  begin();
})();
