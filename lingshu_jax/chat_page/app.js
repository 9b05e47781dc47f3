// Copyright 2026 The lingshu_jax authors
// SPDX-License-Identifier: Apache-2.0
// The chat page. It keeps the conversation and sends all of it with each question; the server
// keeps the files. What a model says becomes text nodes, never markup.

import * as viewer from "/viewer.js";

const byId = (id) => document.getElementById(id);
const frame = byId("log-frame");
const log = byId("log");
const question = byId("question");
const NUMBERS = ["max_new_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed"];
const WIDE = window.matchMedia("(min-width: 1100px)");

let turns = [];  // { role, text, media } and { role, text, note, isBad }, in turn
let tray = [];  // media of the question that is being written; { isWaiting } while one is read
let running = null;  // of the answer under way: { controller, started }
let editing = null;  // place of the question that is written anew
let about = { unknown: [], engine: "", max_bytes: Infinity };

// ---------------------------------------------------------------- small things

function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function complain(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = !text;
}

function say(text) {
  if (byId("state").textContent !== text) {
    byId("state").textContent = text;
  }
}

async function post(path, body) {
  const isFile = body instanceof Blob;
  const answer = await fetch(path, { method: "POST", body: isFile ? body : JSON.stringify(body) });
  if (!answer.ok) {
    throw new Error(await refusal(answer));
  }
  return answer;
}

async function refusal(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).error;
  } catch {
    return text.split("\n")[0] || `the server answers ${answer.status}`;
  }
}

function lost(error) {
  // A browser's words for this differ, and say little.
  return error instanceof TypeError ? "the server does not answer: was it stopped?" : error.message;
}

// ---------------------------------------------------------------- text of a model

// Headings, bold and code; everything else, line ends included, as it came.
function rich(text) {
  const parts = [];
  const lines = text.split("\n");
  let isCode = false;
  lines.forEach((line, place) => {
    const end = place + 1 < lines.length ? "\n" : "";
    if (line.startsWith("```")) {
      isCode = !isCode;
      return;
    }
    const heading = isCode ? null : /^#{1,6} (.+)$/.exec(line);
    if (isCode) {
      parts.push(make("code", { textContent: line }), end);
    } else if (heading) {
      parts.push(make("h3", {}, ...inline(heading[1])), end);
    } else {
      parts.push(...inline(line), end);
    }
  });
  return parts;
}

function inline(line) {
  return line.split(/(\*\*[^*\s](?:[^*]*[^*\s])?\*\*|`[^`]+`)/).map((piece, place) => {
    if (place % 2 === 0) {
      return piece;
    }
    const isBold = piece.startsWith("**");
    return make(isBold ? "strong" : "code", { textContent: piece.slice(isBold ? 2 : 1, isBold ? -2 : -1) });
  });
}

// ---------------------------------------------------------------- the conversation

function thumb(medium, number, action) {
  const picture = make("img", { src: viewer.address(medium, 336), alt: "" });
  const name = `Picture ${number}: ${viewer.describe(medium)}`;
  const button = make("button", { type: "button", className: "thumb", title: viewer.describe(medium) }, picture);
  const mark = viewer.badge(medium);
  button.ariaLabel = `${name}${mark && `, ${mark}`}`;
  if (mark) {
    button.append(make("span", { className: "badge", textContent: mark }));
  }
  button.addEventListener("click", action);
  return button;
}

function drawQuestion(turn, place) {
  const article = make("article", { className: "turn user" });
  article.ariaLabel = "Question";
  if (turn.media.length) {
    const open = (medium) => () => viewer.open(structuredClone(medium), { isFixed: true });
    const thumbs = turn.media.map((medium, i) => thumb(medium, i + 1, open(medium)));
    article.append(make("div", { className: "pictures" }, ...thumbs));
  }
  if (turn.text) {
    article.append(make("div", { className: "says", textContent: turn.text }));
  }
  const edit = make("button", { type: "button", className: "quiet edit", textContent: "Edit" });
  edit.ariaLabel = "Edit this question and send it again";
  edit.addEventListener("click", () => beginEdit(place));
  article.append(make("div", { className: "below" }, edit));
  return article;
}

function drawAnswer(turn, place) {
  const says = make("div", { className: "says" }, ...rich(turn.text));
  const article = make("article", { className: "turn model" }, says);
  article.ariaLabel = "Answer";
  article.ariaBusy = String(Boolean(turn.isOpen));
  if (turn.isOpen) {
    return article;
  }
  const below = make("div", { className: "below" });
  if (turn.mark) {
    below.append(make("p", { className: `mark-text${turn.isBad ? " bad" : ""}`, textContent: turn.mark }));
  }
  if (turn.note) {
    below.append(make("p", { className: "note", textContent: turn.note }));
  }
  if (navigator.clipboard) {
    const copy = make("button", { type: "button", className: "quiet", textContent: "Copy" });
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(turn.text);
      copy.textContent = "Copied";
      setTimeout(() => { copy.textContent = "Copy"; }, 1500);
    });
    below.append(copy);
  }
  if (place === turns.length - 1) {
    const again = make("button", { type: "button", className: "quiet again", textContent: "Regenerate" });
    again.title = "At temperature 0 the same answer comes again";
    again.addEventListener("click", regenerate);
    below.append(again);
  }
  article.append(below);
  return article;
}

const drawn = new WeakMap();  // turn to { key, element }: what has not changed is not said again

function draw() {
  const isNear = frame.scrollHeight - frame.scrollTop - frame.clientHeight < 80;
  const elements = turns.map((turn, place) => {
    const isLast = turn.role === "assistant" && place === turns.length - 1;
    const key = `${place} ${isLast} ${turn.isOpen}`;
    if (drawn.get(turn)?.key !== key) {
      const element = (turn.role === "user" ? drawQuestion : drawAnswer)(turn, place);
      drawn.set(turn, { key, element });
    }
    return drawn.get(turn).element;
  });
  elements.forEach((element, place) => {
    if (log.children[place] !== element) {
      log.insertBefore(element, log.children[place] ?? null);
    }
  });
  while (log.children.length > elements.length) {
    log.lastElementChild.remove();
  }
  byId("welcome").hidden = turns.length > 0;
  byId("download").disabled = turns.length === 0;
  if (isNear || running) {
    frame.scrollTop = frame.scrollHeight;
  }
}

// Only the last answer, while it grows.
function drawLast() {
  const isNear = frame.scrollHeight - frame.scrollTop - frame.clientHeight < 120;
  const place = turns.length - 1;
  log.lastElementChild?.querySelector(".says").replaceChildren(...rich(turns[place].text));
  if (isNear) {
    frame.scrollTop = frame.scrollHeight;
  }
}

function drawTray() {
  byId("tray").hidden = tray.length === 0;
  byId("tray").replaceChildren(...tray.map((medium, place) => {
    if (medium.isWaiting) {
      return make("li", { className: "waiting", textContent: "Reading…" });
    }
    const adjust = thumb(medium, place + 1, () => viewer.open(medium, { closed: drawTray }));
    adjust.ariaLabel += ". Look at it and adjust";
    const remove = make("button", { type: "button", className: "remove", textContent: "×" });
    remove.ariaLabel = `Remove picture ${place + 1}`;
    remove.addEventListener("click", () => {
      tray = tray.filter((other) => other !== medium);
      forgetUnused([medium]);
      drawTray();
      question.focus();
    });
    return make("li", {}, adjust, remove);
  }));
}

function forgetUnused(media) {
  const used = new Set([...turns.flatMap((turn) => turn.media ?? []), ...tray].map((medium) => medium.id));
  const names = media.map((medium) => medium.id).filter((id) => id && !used.has(id));
  if (names.length) {
    post("/forget", names).catch(() => {});
  }
}

// ---------------------------------------------------------------- files

async function add(files) {
  complain("");
  const all = [...files];
  for (const [place, file] of all.entries()) {
    const name = all.length > 1 ? `File ${place + 1} of ${all.length}: ` : "";
    const medium = { isWaiting: true };
    tray.push(medium);
    drawTray();
    try {
      if (file.size > about.max_bytes) {
        throw new Error(`the file is too large; allowed are ${about.max_bytes / 2 ** 20} MiB`);
      }
      const found = await (await post("/uploads", file)).json();
      Object.assign(medium, { id: found.id, about: found, view: viewer.firstView(found), isWaiting: false });
    } catch (error) {
      tray = tray.filter((other) => other !== medium);
      complain(name + lost(error));
    }
    drawTray();
  }
  question.focus();
}

// ---------------------------------------------------------------- asking

function number(id) {
  const value = byId(id).valueAsNumber;
  if (Number.isNaN(value)) {
    throw new Error(`${document.querySelector(`label[for="${id}"]`).firstChild.textContent.trim()} must be a number`);
  }
  return value;
}

function conversation() {
  const names = NUMBERS.filter((name) => !about.unknown.includes(name));
  const plain = ({ text, media }) => ({ text, media: (media ?? []).map(({ id, view }) => ({ id, view })) });
  return {
    system: byId("system").value,
    turns: turns.filter((turn) => !turn.isOpen).map(plain),
    sampling: Object.fromEntries(names.map((name) => [name, number(name)])),
  };
}

function send() {
  const text = question.value.trim();
  if (running || (!text && !tray.length)) {
    return;
  }
  if (tray.some((medium) => medium.isWaiting)) {
    complain("a file is still being read");
    return;
  }
  try {
    conversation();
  } catch (error) {
    complain(error.message);
    return;
  }
  const dropped = editing === null ? [] : turns.splice(editing);
  turns.push({ role: "user", text, media: tray });
  tray = [];
  endEdit();
  forgetUnused(dropped.flatMap((turn) => turn.media ?? []));
  question.value = "";
  grow();
  drawTray();
  ask();
}

function regenerate() {
  if (running) {
    return;
  }
  turns.pop();
  const seed = byId("seed");
  if (byId("temperature").valueAsNumber > 0) {
    seed.value = (seed.valueAsNumber || 0) + 1;  // the same one would give the same answer
  }
  ask();
  question.focus();
}

async function ask() {
  complain("");
  let body;
  try {
    body = JSON.stringify(conversation());
  } catch (error) {
    complain(error.message);
    return;
  }
  const answer = { role: "assistant", text: "", isOpen: true };
  turns.push(answer);
  const mine = { controller: new AbortController(), started: performance.now(), isReading: false };
  running = mine;
  setBusy();
  draw();
  try {
    const reply = await fetch("/answer", { method: "POST", body, signal: mine.controller.signal });
    if (!reply.ok) {
      throw new Error(await refusal(reply));
    }
    await listen(reply, answer);
  } catch (error) {
    if (error.name === "AbortError") {
      answer.mark = "stopped";
    } else {
      answer.problem = lost(error);
    }
  }
  if (running === mine) {  // else the chat was begun anew
    running = null;
    finish(answer);
  }
}

async function listen(reply, answer) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let isOver = false;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      break;
    }
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      isOver = hear(JSON.parse(line), answer) || isOver;
    }
    if (answer.text) {
      drawLast();
    }
  }
  if (!isOver) {
    throw new Error("the answer broke off: was the server stopped?");
  }
}

function hear(event, answer) {
  if (running === null) {
    return false;
  }
  if (event.before) {
    running.before = event.before;
  }
  if (event.begun) {
    Object.assign(running, { before: 0, isReading: true, started: performance.now() });
  }
  if (event.text) {
    running.isReading = false;
    answer.text += event.text;
  }
  if (event.done) {
    answer.note = describeSpeed(event.done);
    answer.mark = event.done.finish_reason === "length" ? "cut at the longest answer" : "";
  }
  if (event.error) {
    answer.problem = event.error;
  }
  showState();
  return Boolean(event.done || event.error);
}

function describeSpeed({ first_seconds: first, tokens, rate }) {
  const parts = [];
  if (first !== null) {
    parts.push(`first token after ${first.toFixed(2)} s`);
  }
  if (tokens !== null) {
    parts.push(`${tokens} token${tokens === 1 ? "" : "s"}`);
  }
  if (rate !== null) {
    parts.push(`${rate.toFixed(1)} tokens/s`);
  }
  return parts.join(" · ");
}

// An answer without a word goes, and its question back to where it was written.
function finish(answer) {
  delete answer.isOpen;
  if (answer.problem) {
    complain(answer.problem);
  }
  if (!answer.text && (answer.problem || answer.mark === "stopped")) {
    turns.pop();
    const asked = turns.pop();
    if (!question.value && !tray.length) {
      question.value = asked.text;
      tray = asked.media;
      grow();
      drawTray();
    }
  } else if (answer.problem) {
    Object.assign(answer, { mark: "broken off", isBad: true });
  }
  if (!answer.text && !answer.problem && answer.mark !== "stopped") {
    answer.note = `an answer of no words · ${answer.note}`;
  }
  setBusy();
  say(answer.problem ? "" : answer.mark === "stopped" ? "Stopped" : "Answered");
  byId("clock").textContent = "";
  draw();
}

function stop() {
  running?.controller.abort();
}

function setBusy() {
  const isBusy = Boolean(running);
  const hadFocus = document.activeElement === byId("stop");
  byId("stop").hidden = !isBusy;
  byId("send").hidden = isBusy;
  if (isBusy) {
    showState();
  } else if (hadFocus) {
    question.focus();
  }
}

function showState() {
  if (!running) {
    return;
  }
  const seconds = Math.floor((performance.now() - running.started) / 1000);
  if (running.before) {
    say(`Waiting: ${running.before} question${running.before === 1 ? "" : "s"} first`);
  } else if (running.isReading && about.engine === "jax" && seconds >= 4) {
    say("Reading; a new length is compiled first");
  } else {
    say(running.isReading ? "Reading the question" : "Answering");
  }
  byId("clock").textContent = seconds > 0 ? ` · ${seconds} s` : "";
}

// ---------------------------------------------------------------- editing, saving, beginning anew

function beginEdit(place) {
  if (running) {
    return;
  }
  const dropped = tray;
  editing = place;
  question.value = turns[place].text;
  tray = structuredClone(turns[place].media);
  forgetUnused(dropped);
  byId("editing").hidden = false;
  grow();
  drawTray();
  question.focus();
}

function endEdit() {
  editing = null;
  byId("editing").hidden = true;
}

function cancelEdit() {
  endEdit();
  question.value = "";
  tray = [];
  grow();
  drawTray();
  question.focus();
}

function beginAnew() {
  stop();
  const media = [...turns.flatMap((turn) => turn.media ?? []), ...tray];
  turns = [];
  tray = [];
  running = null;
  setBusy();
  forgetUnused(media);
  endEdit();
  byId("clock").textContent = "";
  complain("");
  say("");
  question.value = "";
  grow();
  draw();
  drawTray();
  question.focus();
}

async function download() {
  try {
    const row = await (await post("/conversation", conversation())).blob();
    const link = make("a", { href: URL.createObjectURL(row), download: "conversation.jsonl" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    say("Downloaded");
  } catch (error) {
    complain(lost(error));
  }
}

function grow() {
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight}px`;
}

function showSettings(isOpen) {
  byId("settings").hidden = !isOpen;
  byId("settings-button").ariaExpanded = String(isOpen);
}

function showSampling() {
  const temperature = byId("temperature").valueAsNumber;
  byId("drawn").disabled = !(temperature > 0);
  byId("temperature-says").textContent = temperature > 0 ? "drawn" : "greedy";
}

// ---------------------------------------------------------------- events

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
question.addEventListener("input", grow);
question.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || byId("viewer").open) {
    return;
  }
  if (running) {
    stop();
  } else if (editing !== null) {
    cancelEdit();
  } else if (!WIDE.matches && !byId("settings").hidden) {
    showSettings(false);
    byId("settings-button").focus();
  }
});
byId("stop").addEventListener("click", stop);
byId("new").addEventListener("click", beginAnew);
byId("download").addEventListener("click", download);
byId("cancel-edit").addEventListener("click", cancelEdit);
byId("settings-button").addEventListener("click", () => showSettings(byId("settings").hidden));
byId("settings-close").addEventListener("click", () => {
  showSettings(false);
  byId("settings-button").focus();
});
byId("temperature").addEventListener("input", showSampling);
byId("attach").addEventListener("click", () => byId("files").click());
byId("files").addEventListener("change", (event) => {
  const files = [...event.target.files];
  event.target.value = "";  // the same file may be chosen again
  add(files);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) {
    event.preventDefault();
    add(event.clipboardData.files);
  }
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("drop").hidden = false;
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) {
    byId("drop").hidden = true;
  }
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").hidden = true;
  add(event.dataTransfer.files);
});
window.addEventListener("pagehide", () => {
  const names = [...turns.flatMap((turn) => turn.media ?? []), ...tray].map((medium) => medium.id);
  navigator.sendBeacon("/forget", JSON.stringify(names.filter(Boolean)));
});
setInterval(showState, 500);

async function begin() {
  showSettings(WIDE.matches);
  showSampling();
  draw();
  question.focus();
  try {
    about = await (await fetch("/about")).json();
  } catch (error) {
    complain(lost(error));
    return;
  }
  viewer.setMostSent(about.max_sent);
  byId("model").textContent = `${about.model} · ${about.engine}`;
  for (const name of about.unknown) {
    document.querySelector(`[data-field="${name}"]`).hidden = true;
  }
  document.body.dataset.ready = "yes";
}

begin();
