// Copyright 2026 The lingshu_jax authors
// SPDX-License-Identifier: Apache-2.0
// A picture that is zoomed, moved and windowed. Gray DICOM values come as numbers of 16 bits and
// become gray levels here, by the window of DICOM PS3.3, C.11.2.1.2 (C.11.2.1.3 where exact).

const MOST = 40; // times the size at which the picture fits
const KEPT = 24; // frames
const PLAIN = { windows: [["as it is", 128, 256]], is_inverted: false, is_exact: false };

async function get(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer;
}

async function loadFrame(address) {
  const answer = await get(address);
  const width = Number(answer.headers.get("x-width"));
  if (width) {
    // The lower byte is first, as in the memory of every machine that runs a browser.
    const numbers = new Uint16Array(await answer.arrayBuffer());
    const [low, step] = ["x-low", "x-step"].map((name) => Number(answer.headers.get(name)));
    return { numbers, low, step, width, height: numbers.length / width };
  }
  const bitmap = await createImageBitmap(await answer.blob());
  return { bitmap, width: bitmap.width, height: bitmap.height };
}

export class Viewer {
  constructor(root) {
    const find = (id) => root.querySelector(`#${id}`);
    this.canvas = find("canvas");
    this.left = find("left");
    this.right = find("right");
    this.select = find("windows");
    this.slider = find("frames");
    this.buttons = [find("before"), find("after")];
    this.drawn = document.createElement("canvas");
    this.frames = new Map();
    this.infos = new Map();
    this.item = "";
    this.count = 0;
    this.isLevels = false;
    this.pointers = new Map();
    this.listen(find);
    new ResizeObserver(() => this.resize()).observe(this.canvas);
  }

  listen(find) {
    const canvas = this.canvas;
    const tap = (id, act) => find(id).addEventListener("click", act);
    tap("before", () => this.turn(-1));
    tap("after", () => this.turn(1));
    tap("smaller", () => this.zoom(1 / 1.3));
    tap("larger", () => this.zoom(1.3));
    tap("fit", () => this.reset());
    tap("levels", (event) => {
      this.isLevels = !this.isLevels;
      event.currentTarget.setAttribute("aria-pressed", this.isLevels);
      canvas.classList.toggle("levels", this.isLevels);
    });
    this.select.addEventListener("change", () => this.choose(Number(this.select.value)));
    this.slider.addEventListener("input", () => this.open(this.place, Number(this.slider.value)));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.shiftKey) this.step(Math.sign(event.deltaY || event.deltaX));
      else this.zoom(1.0015 ** -event.deltaY, event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, event);
    });
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    }
    canvas.addEventListener("dblclick", () => this.reset());
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const others = [...this.pointers.values()].filter((p) => p.pointerId !== event.pointerId);
    this.pointers.set(event.pointerId, event);
    const dx = event.offsetX - before.offsetX;
    const dy = event.offsetY - before.offsetY;
    if (others.length) {
      const [other] = others;
      const apart = (p) => Math.hypot(p.offsetX - other.offsetX, p.offsetY - other.offsetY);
      const x = (event.offsetX + other.offsetX) / 2;
      this.zoom(apart(event) / Math.max(apart(before), 1), x, (event.offsetY + other.offsetY) / 2);
      this.pan(dx / 2, dy / 2);
    } else if (event.buttons === 2 || event.shiftKey || this.isLevels) {
      this.level(dy, dx);
    } else {
      this.pan(dx, dy);
    }
  }

  // Shows the pictures of an item, from the first one.
  async show(item, count) {
    Object.assign(this, { item, count, place: 0, at: 0, frame: null, fault: count ? "loading" : "" });
    this.render();
    if (count) await this.open(0, 0);
  }

  async prefetch(item, count) {
    if (count) await this.load(item, 0, 0).catch(() => null);
  }

  async load(item, place, at) {
    const name = `${item}/${place}`;
    if (!this.infos.has(name)) {
      this.infos.set(name, get(`/api/pictures/${name}`).then((answer) => answer.json()));
      this.infos.get(name).catch(() => this.infos.delete(name));
    }
    const key = `${name}/${at}`;
    if (!this.frames.has(key)) {
      this.frames.set(key, loadFrame(`/api/pictures/${key}`));
      this.frames.get(key).catch(() => this.frames.delete(key));
      for (const old of [...this.frames.keys()].slice(0, -KEPT)) this.frames.delete(old);
    }
    return [await this.infos.get(name), await this.frames.get(key)];
  }

  async open(place, at) {
    const item = this.item;
    const isOther = place !== this.place || !this.frame;
    Object.assign(this, { place, at });
    let found;
    try {
      found = await this.load(item, place, at);
    } catch (error) {
      if (this.item !== item) return;
      this.frame = null;
      this.fault = error instanceof TypeError ? "The server is not reachable." : error.message;
      this.render();
      return;
    }
    if (this.item !== item || this.place !== place || this.at !== at) return; // too late
    this.fault = "";
    this.info = found[0].windows.length ? found[0] : { ...found[0], ...PLAIN };
    this.frame = found[1];
    if (isOther) {
      const names = this.info.windows.map(([name], i) => new Option(name, i));
      this.select.replaceChildren(...names, new Option("by hand", -1));
      this.flipped = false;
      this.choose(0, false);
      this.fit();
    }
    this.paint();
  }

  turn(by) {
    if (this.count) this.open((this.place + by + this.count) % this.count, 0);
  }

  step(by) {
    if (!this.frame) return;
    const at = Math.min(Math.max(this.at + by, 0), this.info.frames - 1);
    if (at !== this.at) this.open(this.place, at);
  }

  choose(chosen, isPainted = true) {
    const window = this.info?.windows[chosen];
    if (!window) return;
    [, this.center, this.width] = window;
    this.select.value = chosen;
    if (isPainted) this.paint();
  }

  nextWindow() {
    if (this.frame) this.choose((Number(this.select.value) + 1) % this.info.windows.length);
  }

  // Moves the window; of the range that is shown now, per pixel of the pointer.
  level(down, right) {
    if (!this.frame) return;
    const unit = Math.max(this.width, this.smallest) / 300;
    this.center += down * unit;
    this.width = Math.max(this.width + right * unit, this.smallest);
    this.select.value = -1;
    this.paint();
  }

  get smallest() {
    return this.info.is_exact ? (this.frame.step || 1) * 2 : 2;
  }

  invert() {
    this.flipped = !this.flipped;
    if (this.frame) this.paint();
  }

  // Gray levels of all numbers, or of all values of a colour.
  table(size, low, step) {
    const { center, width, info } = this;
    const start = info.is_exact ? center - width / 2 : center - 0.5 - (width - 1) / 2;
    const span = Math.max(info.is_exact ? width : width - 1, 1e-9);
    const isTurned = info.is_inverted !== this.flipped;
    const levels = new Uint8ClampedArray(size);
    for (let i = 0; i < size; i += 1) {
      const level = ((low + i * step - start) / span) * 255; // rounded and clipped by the array
      levels[i] = level;
      if (isTurned) levels[i] = 255 - levels[i];
    }
    return levels;
  }

  paint() {
    const { frame, drawn } = this;
    Object.assign(drawn, { width: frame.width, height: frame.height });
    const context = drawn.getContext("2d", { willReadFrequently: true });
    if (frame.numbers) {
      const levels = this.table(65536, frame.low, frame.step);
      const image = context.createImageData(frame.width, frame.height);
      const pixels = new Uint32Array(image.data.buffer);
      const { numbers } = frame;
      for (let i = 0; i < numbers.length; i += 1) {
        pixels[i] = 0xff000000 | (levels[numbers[i]] * 0x010101);
      }
      context.putImageData(image, 0, 0);
    } else {
      context.drawImage(frame.bitmap, 0, 0);
      if (this.center !== 128 || this.width !== 256 || this.flipped) this.tint(context);
    }
    this.render();
  }

  tint(context) {
    const image = context.getImageData(0, 0, this.frame.width, this.frame.height);
    const levels = this.table(256, 0, 1);
    const { data } = image;
    for (let i = 0; i < data.length; i += 1) if (i % 4 < 3) data[i] = levels[data[i]];
    context.putImageData(image, 0, 0);
  }

  resize() {
    const box = this.canvas.getBoundingClientRect();
    const scale = devicePixelRatio;
    this.canvas.width = Math.round(box.width * scale);
    this.canvas.height = Math.round(box.height * scale);
    if (this.frame && this.isFit) this.fit();
    this.render();
  }

  fit() {
    const box = this.canvas.getBoundingClientRect();
    const room = box.height - 44; // above the tools
    this.fitting = Math.min(box.width / this.frame.width, room / this.frame.height);
    this.scale = this.fitting;
    this.x = (box.width - this.frame.width * this.scale) / 2;
    this.y = (room - this.frame.height * this.scale) / 2;
    this.isFit = true;
  }

  reset() {
    if (!this.frame) return;
    this.fit();
    this.choose(0);
  }

  zoom(by, x, y) {
    if (!this.frame) return;
    const box = this.canvas.getBoundingClientRect();
    const [cx, cy] = [x ?? box.width / 2, y ?? (box.height - 44) / 2];
    const scale = Math.min(Math.max(this.scale * by, this.fitting / 4), this.fitting * MOST);
    this.x = cx - ((cx - this.x) * scale) / this.scale;
    this.y = cy - ((cy - this.y) * scale) / this.scale;
    this.scale = scale;
    this.isFit = false;
    this.render();
  }

  pan(dx, dy) {
    if (!this.frame) return;
    this.x += dx;
    this.y += dy;
    this.isFit = false;
    this.render();
  }

  render() {
    const { canvas, frame } = this;
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    this.slider.hidden = !frame || this.info.frames < 2;
    for (const button of this.buttons) button.hidden = this.count < 2;
    canvas.dataset.shown = frame ? `${this.item}/${this.place}/${this.at}` : "";
    if (!frame) {
      this.left.textContent = this.fault;
      this.right.textContent = "";
      return;
    }
    const ratio = devicePixelRatio;
    context.imageSmoothingEnabled = this.scale < 3;
    context.imageSmoothingQuality = "high";
    context.setTransform(this.scale * ratio, 0, 0, this.scale * ratio, this.x * ratio,
      this.y * ratio);
    context.drawImage(this.drawn, 0, 0);
    this.tell();
  }

  tell() {
    const digits = this.width < 10 ? 3 : 0;
    const { info, canvas } = this;
    Object.assign(canvas.dataset, {
      scale: this.scale, x: this.x, y: this.y, center: this.center, width: this.width,
    });
    const name = this.select.selectedOptions[0]?.text || "";
    this.left.textContent =
      `W ${this.width.toFixed(digits)}  L ${this.center.toFixed(digits)}\n${name}`;
    const places = [];
    if (this.count > 1) places.push(`picture ${this.place + 1} of ${this.count}`);
    if (info.frames > 1) places.push(`frame ${this.at + 1} of ${info.frames}`);
    places.push(`${Math.round(100 * this.scale)} %`);
    this.right.textContent = places.join("\n");
    this.slider.max = info.frames - 1;
    this.slider.value = this.at;
  }
}
