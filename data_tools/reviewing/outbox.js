// Copyright 2026 The lingshu_jax authors
// SPDX-License-Identifier: Apache-2.0
// Decisions that are not yet known to be on the server's disk. Each is on this machine's disk first
// (IndexedDB, of which `durability: strict` asks that; what localStorage holds of the last seconds
// dies with the browser), and goes from there when the server has said that it has it. So neither a
// browser nor a server that dies loses any, and each counts once.

const RETRY = 2000; // milliseconds
const MOST_ALIVE = 60000; // bytes that a closing page may still send
const WAITING = "waiting";
const REFUSED = "refused"; // kept for whoever looks for them; never sent again

export function number() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function ask(address, options) {
  const answer = await fetch(address, options);
  const told = await answer.json().catch(() => ({ error: "" }));
  if (answer.ok) return told;
  const known = { 401: "This page has expired: open the address that the command printed" };
  const error = new Error(known[answer.status] || told.error || `answer ${answer.status}`);
  error.status = answer.status;
  throw error;
}

// The result of a request of IndexedDB.
function ended(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function open(name) {
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => {
    for (const store of [WAITING, REFUSED]) {
      request.result.createObjectStore(store, { keyPath: "decision.number" });
    }
  };
  return ended(request);
}

export class Outbox {
  constructor(review, { onChange, onSaved, onRefused }) {
    Object.assign(this, { onChange, onSaved, onRefused });
    this.entries = new Map(); // by number
    this.isSending = false;
    this.last = 0;
    this.ready = this.load(review);
    addEventListener("online", () => this.flush());
  }

  async load(review) {
    try {
      this.database = await open(`review ${review}`);
      const kept = await ended(this.database.transaction(WAITING).objectStore(WAITING).getAll());
      for (const entry of kept) this.entries.set(entry.decision.number, entry);
    } catch {
      this.database = null; // a browser that stores nothing: the page has them while it is open
    }
  }

  // Changes what is kept; done when it is on the disk.
  write(change) {
    if (!this.database) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const options = { durability: "strict" };
      const transaction = this.database.transaction([WAITING, REFUSED], "readwrite", options);
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
      change((store) => transaction.objectStore(store));
    });
  }

  async put(reviewer, decision) {
    this.last = Math.max(this.last + 1, Date.now() * 100);
    const entry = { reviewer, decision, place: this.last };
    this.entries.set(decision.number, entry);
    this.onChange(this.entries.size, null);
    await this.write((store) => store(WAITING).put(entry)).catch(() => null);
    await this.flush();
  }

  waiting() {
    return [...this.entries.values()].sort((a, b) => a.place - b.place);
  }

  async drop(entry, isRefused) {
    const { number: key } = entry.decision;
    this.entries.delete(key);
    await this.write((store) => {
      store(WAITING).delete(key);
      if (isRefused) store(REFUSED).put(entry);
    }).catch(() => null);
  }

  async flush() {
    if (this.isSending) return;
    this.isSending = true;
    let fault = null;
    try {
      for (let [entry] = this.waiting(); entry && !fault; [entry] = this.waiting()) {
        this.onChange(this.entries.size, null);
        fault = await this.send(entry);
      }
    } finally {
      this.isSending = false;
    }
    this.onChange(this.entries.size, fault);
    clearTimeout(this.timer);
    if (this.entries.size) this.timer = setTimeout(() => this.flush(), RETRY);
  }

  async send(entry) {
    const body = JSON.stringify({ reviewer: entry.reviewer, decision: entry.decision });
    const headers = { "content-type": "application/json" };
    const keepalive = body.length < MOST_ALIVE / 3; // three bytes a letter at most
    try {
      const told = await ask("/api/decisions", { method: "POST", body, headers, keepalive });
      await this.drop(entry, false);
      this.onSaved(entry, told);
    } catch (error) {
      if (error.status !== 400 && error.status !== 413) return error;
      await this.drop(entry, true);
      this.onRefused(entry, error);
    }
    return null;
  }
}
