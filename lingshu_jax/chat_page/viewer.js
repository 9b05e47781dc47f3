// Copyright 2026 The lingshu_jax authors
// SPDX-License-Identifier: Apache-2.0
// A picture at large: which frame, which window, and how much of it the model is given.
//
// A medium is { id, about, view }: the server's name of a file, what it says of it (the answer to
// POST /uploads) and what of it is meant (fields of the server's View).

const byId = (id) => document.getElementById(id);
const dialog = byId("viewer");
const image = byId("viewer-image");
const stage = image.parentElement;

let medium = null;
let whenClosed = () => {};
let mostSent = 64;
let wanted = "";  // the address of the picture to show next, while another one loads

export function setMostSent(count) {
  mostSent = count;
}

export function firstView(about) {
  const frames = about.planes.axial[0];
  // The middle: the outer slices of a volume are nearly empty.
  return { plane: "axial", frame: about.kind === "nifti" ? Math.floor(frames / 2) : 0, send: "frame", count: Math.min(8, frames) };
}

export function address(of, side) {
  const { plane, frame, center, width } = of.view;
  const query = new URLSearchParams({ plane, frame: Math.min(frame, framesOf(of) - 1), side });
  if (center !== undefined) {
    query.set("center", center);
    query.set("width", width);
  }
  return `/uploads/${of.id}/view?${query}`;
}

export function describe(of) {
  const [, height, width] = of.about.planes[of.view.plane];
  return `${of.about.facts.join(" · ")}, ${width} × ${height}`;
}

// What stands on a thumbnail where the file has several frames.
export function badge(of) {
  const total = framesOf(of);
  if (total < 2) {
    return of.about.kind === "picture" ? "" : of.about.facts.slice(0, 2).join(" · ");
  }
  if (of.view.send === "frame") {
    return `${of.view.frame + 1} of ${total}`;
  }
  const count = Math.min(of.view.count, total);
  return of.view.send === "clip" ? `clip of ${count}` : `${count} frames`;
}

export function open(of, { isFixed = false, closed = () => {} } = {}) {
  medium = of;
  whenClosed = closed;
  const window_ = of.about.window;
  const total = framesOf(of);
  const hasPlanes = Object.keys(of.about.planes).length > 1;
  byId("viewer-title").textContent = describe(of);
  byId("viewer-tools").hidden = isFixed || (total < 2 && of.about.kind === "picture");
  document.querySelector(".viewer-body").classList.toggle("plain", byId("viewer-tools").hidden);
  byId("tool-plane").hidden = !hasPlanes;
  byId("tool-window").hidden = !window_;
  stage.classList.toggle("windowed", Boolean(window_) && !isFixed);
  fill(byId("plane"), Object.keys(of.about.planes));
  byId("plane").value = of.view.plane;
  if (window_) {
    fill(byId("preset"), ["From the file", ...Object.keys(window_.presets), "Own"]);
    const [low, high] = window_.range;
    const reach = Math.max(high - low, 2 * Math.max(...Object.values(window_.presets).map((p) => p[1])));
    Object.assign(byId("center"), { min: Math.min(low, window_.file[0]), max: Math.max(high, window_.file[0]) });
    Object.assign(byId("width"), { min: Math.min(1, (high - low) / 100), max: Math.max(reach, window_.file[1]) });
  }
  const { kind, dropped } = of.about;
  const left = dropped === 1 ? "1 field of the header that may tell who this is stays behind." : `${dropped} fields of the header that may tell who this is stay behind.`;
  byId("viewer-facts").textContent = kind === "picture" ? "" : `${dropped ? left : ""} Text burned into the picture stays in it.`;
  update();
  dialog.showModal();
}

function framesOf(of) {
  return of.about.planes[of.view.plane][0];
}

function fill(select, names) {
  select.replaceChildren(...names.map((name) => new Option(name)));
}

function round(value) {
  return Math.abs(value) >= 20 ? Math.round(value) : Number(value.toPrecision(3));
}

function preset() {
  const { center, width } = medium.view;
  if (center === undefined) {
    return "From the file";
  }
  const found = Object.entries(medium.about.window.presets).find(([, p]) => p[0] === center && p[1] === width);
  return found ? found[0] : "Own";
}

// Everything that the dialog shows, from the medium.
function update() {
  const { view, about } = medium;
  const total = framesOf(medium);
  view.frame = Math.min(view.frame, total - 1);
  byId("tool-frame").hidden = total < 2;
  byId("tool-send").hidden = total < 2;
  Object.assign(byId("frame"), { max: total - 1, value: view.frame });
  byId("frame-says").textContent = `${view.frame + 1} of ${total}`;
  if (about.window) {
    const [center, width] = view.center === undefined ? about.window.file : [view.center, view.width];
    byId("preset").value = preset();
    byId("center").value = center;
    byId("width").value = width;
    byId("center-says").textContent = round(center);
    byId("width-says").textContent = round(width);
  }
  for (const radio of document.getElementsByName("send")) {
    radio.checked = radio.value === view.send;
  }
  view.count = Math.min(view.count, total, mostSent);
  Object.assign(byId("count"), { max: Math.min(total, mostSent), value: view.count, disabled: view.send === "frame" });
  byId("count-says").textContent = view.send === "frame" ? "" : `${view.count}, evenly spaced`;
  image.alt = `${describe(medium)}, ${badge(medium)}`;
  show(address(medium, 1600));
}

// One picture at a time is asked for: the last one, however fast a control moves.
function show(next) {
  const isLoading = Boolean(wanted);
  wanted = next;
  if (!isLoading) {
    image.src = next;
  }
}

function loaded() {
  const isLast = image.getAttribute("src") === wanted;
  if (isLast) {
    wanted = "";
  } else {
    image.src = wanted;
  }
}

image.addEventListener("load", loaded);
image.addEventListener("error", loaded);

function setWindow(center, width) {
  const ends = ["center", "width"].map((id) => [Number(byId(id).min), Number(byId(id).max)]);
  medium.view.center = Math.min(Math.max(center, ends[0][0]), ends[0][1]);
  medium.view.width = Math.min(Math.max(width, ends[1][0]), ends[1][1]);
  update();
}

byId("plane").addEventListener("change", (event) => {
  medium.view.plane = event.target.value;
  medium.view.frame = Math.floor(framesOf(medium) / 2);
  update();
});
byId("frame").addEventListener("input", (event) => {
  medium.view.frame = Number(event.target.value);
  update();
});
byId("count").addEventListener("input", (event) => {
  medium.view.count = Number(event.target.value);
  update();
});
byId("tool-send").addEventListener("change", (event) => {
  if (event.target.name === "send") {
    medium.view.send = event.target.value;
    medium.view.count = Math.max(2, medium.view.count);
    update();
  }
});
byId("preset").addEventListener("change", (event) => {
  const chosen = event.target.value;
  const { presets, file } = medium.about.window;
  if (chosen === "From the file") {
    delete medium.view.center;
    delete medium.view.width;
  } else {
    [medium.view.center, medium.view.width] = presets[chosen] ?? file;
  }
  update();
});
for (const id of ["center", "width"]) {
  byId(id).addEventListener("input", () => setWindow(Number(byId("center").value), Number(byId("width").value)));
}

stage.addEventListener("pointermove", (event) => {
  if (stage.classList.contains("windowed") && event.buttons === 1) {
    const [low, high] = medium.about.window.range;
    const step = (high - low) / 1000;
    const [center, width] = ["center", "width"].map((id) => Number(byId(id).value));
    setWindow(center + event.movementY * step, width + event.movementX * step);
  }
});
stage.addEventListener("wheel", (event) => {
  if (!byId("tool-frame").hidden && !byId("viewer-tools").hidden) {
    event.preventDefault();
    medium.view.frame = Math.max(0, medium.view.frame + Math.sign(event.deltaY));
    update();
  }
}, { passive: false });

dialog.addEventListener("close", () => whenClosed());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) {  // beside it
    dialog.close();
  }
});
