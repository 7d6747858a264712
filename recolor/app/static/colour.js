import { Offline, Refused, call, element, get, loadSession, plural, post, request, wait } from "./session.js";

const UPLOADS_AT_ONCE = 2;
const MOST_TRIES = 5; // of an upload, while the server answers other requests
const MEANINGS = {
  careful: "Paler colours, which are on average nearest to the truth.",
  natural: "The colours that the model finds likely.",
  vivid: "Bolder colours, which are further off where the model errs.",
};
const byId = (id) => document.getElementById(id);
const photographs = []; // {key, name, file, state: waiting | coloured | failed | removed, id, ...facts, look, item}
const usual = () => ({ look: "natural", saturation: 1, temperature: null, tilt: null });
let taken = null; // the photograph in the viewer
let uploading = 0;
let passedOver = new Map(); // kind -> count
let suffixes = null; // {images, videos}
let temperatures = {};
let lastKey = 0;

// ---- Files: dropped, chosen, uploaded ----

async function addFiles(files) {
  for (const { file, name } of files) {
    const photograph = { key: ++lastKey, name, file, state: "waiting", look: usual() };
    photograph.item = filmItem(photograph);
    photographs.push(photograph);
    byId("film").append(photograph.item);
  }
  byId("empty").hidden = photographs.length > 0;
  byId("filled").hidden = photographs.length === 0;
  if (!taken && photographs.length) take(photographs[0]);
  showProgress();
  while (uploading < UPLOADS_AT_ONCE && nextWaiting()) uploadNext();
}

const nextWaiting = () => photographs.find((one) => one.state === "waiting" && !one.started);

async function uploadNext() {
  const photograph = nextWaiting();
  if (!photograph) return;
  uploading += 1;
  photograph.started = true;
  await upload(photograph);
  uploading -= 1;
  showProgress();
  uploadNext();
}

async function upload(photograph) {
  for (let tries = 1; photograph.state !== "removed"; tries += 1) {
    try {
      const path = `/api/photographs?name=${encodeURIComponent(photograph.name)}`;
      const answer = await call("PUT", path, photograph.file, "application/octet-stream");
      const facts = await answer.json();
      if (photograph.state === "removed") forget(facts.id);
      else Object.assign(photograph, facts, { state: "coloured" });
      break;
    } catch (error) {
      if (photograph.state === "removed") return;
      const isReadable = !(error instanceof Offline) || (await canBeRead(photograph.file));
      if (error instanceof Offline && isReadable && tries < MOST_TRIES) {
        await untilAnswered();
        continue;
      }
      fail(photograph, isReadable ? error.message : "The file cannot be read: it was moved, changed or removed, or is not permitted. Choose it again.");
      break;
    }
  }
  if (photograph.state === "removed") return;
  showItem(photograph);
  if (taken === photograph) show();
}

// A browser tells a file that it cannot read apart from a server that does not answer by reading it alone only.
async function canBeRead(file) {
  const reader = file.stream().getReader();
  try {
    await reader.read();
    return true;
  } catch {
    return false;
  } finally {
    reader.cancel().catch(() => {});
  }
}

const forget = (id) => call("DELETE", `/api/photographs/${id}`).catch(() => {});
const fail = (photograph, problem) => Object.assign(photograph, { state: "failed", problem });

// A photograph that the server no longer has, as it was started again, is sent again.
async function sendAgain(photograph) {
  if (photograph.state === "removed") return;
  photograph.sending ??= upload(photograph).finally(() => { photograph.sending = null; });
  await photograph.sending;
}

// Returns the files of a dropped entry; what cannot be read is counted, and does not end the rest.
async function filesOf(entry, inFolder) {
  try {
    return await filesIn(entry, inFolder);
  } catch {
    passOver("unreadable file");
    return [];
  }
}

async function filesIn(entry, inFolder) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    return [{ file, name: entry.fullPath.replace(/^\//, ""), inFolder }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) break;
    for (const one of some) found.push(...(await filesOf(one, true)));
  }
  return found;
}

// Of a folder only photographs are taken; files that were chosen one by one are all tried.
async function choose(files) {
  if (!suffixes) await untilAnswered();
  const accepted = files.filter(({ name, inFolder }) => {
    const kind = inFolder ? kindOf(name) : "photograph";
    if (kind !== "photograph") passOver(kind);
    return kind === "photograph";
  });
  addFiles(accepted.sort((a, b) => a.name.localeCompare(b.name)));
}

function passOver(kind) {
  passedOver.set(kind, (passedOver.get(kind) ?? 0) + 1);
}

function kindOf(name) {
  const base = name.split("/").pop().toLowerCase();
  const suffix = base.includes(".") ? base.slice(base.lastIndexOf(".")) : "";
  if (base.startsWith(".")) return "hidden file";
  if (suffixes.images.includes(suffix)) return "photograph";
  return suffixes.videos.includes(suffix) ? "video" : "other file";
}

for (const name of ["dragenter", "dragover"])
  addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
addEventListener("drop", async (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.());
  const files = [...event.dataTransfer.files];
  if (!entries.every(Boolean)) {
    choose(files.map((file) => ({ file, name: file.name })));
    return;
  }
  choose((await Promise.all(entries.map((entry) => filesOf(entry, false)))).flat());
});
for (const button of document.querySelectorAll("[data-choose]"))
  button.addEventListener("click", () => byId(button.dataset.choose).click());
for (const id of ["files", "folder"])
  byId(id).addEventListener("change", (event) => {
    const files = [...event.target.files];
    choose(files.map((file) => ({ file, name: file.webkitRelativePath || file.name, inFolder: id === "folder" })));
    event.target.value = "";
  });

// ---- The strip of photographs ----

function filmItem(photograph) {
  const remove = element("button", { class: "remove", "aria-label": `Remove ${photograph.name}`, onclick: () => removeOne(photograph) }, "×");
  const button = element("button", { class: "take", onclick: () => take(photograph) });
  button.append(element("span", { class: "none" }, "waiting"), element("span", { class: "name" }, photograph.name));
  return element("li", {}, button, remove);
}

function showItem(photograph) {
  const button = photograph.item.querySelector(".take");
  const first = photograph.state === "coloured"
    ? element("img", { src: address(photograph, "thumbnail"), alt: "", loading: "lazy" })
    : element("span", { class: "none" }, photograph.state === "failed" ? "not coloured" : "waiting");
  button.firstChild.replaceWith(first);
}

async function removeOne(photograph) {
  const place = photographs.indexOf(photograph);
  photographs.splice(place, 1);
  photograph.item.remove();
  photograph.state = "removed";
  if (photograph.id) forget(photograph.id);
  byId("empty").hidden = photographs.length > 0;
  byId("filled").hidden = photographs.length === 0;
  if (taken === photograph) {
    taken = null;
    if (photographs.length) take(photographs[Math.min(place, photographs.length - 1)]);
  }
  showProgress();
}

function take(photograph) {
  if (taken) taken.item.querySelector(".take").removeAttribute("aria-current");
  taken = photograph;
  photograph.item.querySelector(".take").setAttribute("aria-current", "true");
  show();
}

byId("film").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const next = photographs[photographs.indexOf(taken) + step];
  if (!step || !next) return;
  event.preventDefault();
  take(next);
  next.item.querySelector(".take").focus();
});

function showProgress() {
  const count = (state) => photographs.filter((one) => one.state === state).length;
  const parts = [`${count("coloured")} of ${plural(photographs.length, "photograph")} coloured`];
  if (count("failed")) parts.push(`${count("failed")} failed`);
  if (passedOver.size) parts.push(`passed over: ${[...passedOver].sort().map(([kind, number]) => plural(number, kind)).join(", ")}`);
  byId("progress").textContent = parts.join(" · ");
  byId("download-all").disabled = !count("coloured");
}

// ---- The photograph in the viewer, and its look ----

function query({ look, saturation, temperature, tilt }) {
  const values = new URLSearchParams({ look, saturation });
  if (temperature !== null) values.set("temperature", temperature);
  if (tilt) {
    values.set("tilt_a", tilt.tilt_a);
    values.set("tilt_b", tilt.tilt_b);
  }
  return values;
}

const address = (photograph, what, look = photograph.look) => `/api/photographs/${photograph.id}/${what}?${query(look)}`;

function show() {
  const { name, state, problem } = taken;
  byId("name").textContent = name;
  byId("size").textContent = state === "coloured" ? `${taken.width_px} × ${taken.height_px} px` : "";
  const notes = [];
  if (state === "coloured") {
    notes.push(...taken.notes.map((note) => `${note[0].toUpperCase()}${note.slice(1)}.`));
    if (taken.dropped.length) notes.push(`The coloured file is without ${taken.dropped.join(", ")}.`);
    if (taken.had_colour) notes.push("It has colour already; only its lightness is used.");
  }
  byId("notes").textContent = notes.join(" ");
  byId("problem").hidden = state !== "failed";
  byId("problem").textContent = problem ?? "";
  byId("compare").hidden = state === "failed";
  byId("compare").dataset.waiting = state === "waiting" || !shows(taken); // never a part of another photograph
  byId("pair").hidden = state !== "coloured";
  byId("download").disabled = state !== "coloured";
  byId("download-problem").hidden = true;
  showLook();
  if (state !== "coloured") {
    byId("candidates").replaceChildren();
    byId("sure").textContent = "";
    return;
  }
  byId("before").alt = `${name}, before`;
  byId("after").alt = `${name}, coloured`;
  byId("before").src = `/api/photographs/${taken.id}/before`;
  refresh();
  showCandidates();
}

const shows = ({ id }) => (byId("after").dataset.shown ?? "").startsWith(`/api/photographs/${id}/`);

function showLook() {
  const { look, saturation, temperature } = taken.look;
  for (const radio of document.querySelectorAll("[name=look]")) radio.checked = radio.value === look;
  byId("meaning").textContent = MEANINGS[look];
  byId("saturation").value = saturation;
  byId("saturation-shown").textContent = saturation.toFixed(2);
  byId("temperature").value = temperature ?? temperatures[look] ?? 0.6;
  byId("temperature-shown").textContent = temperature === null ? "as in the look" : temperature.toFixed(2);
}

// The picture follows the controls: one request at a time, and after it the latest state, if that has changed.
let refreshing = false;
async function refresh() {
  if (refreshing) return;
  refreshing = true;
  for (;;) {
    const photograph = taken;
    if (!photograph || photograph.state !== "coloured") break;
    const wanted = address(photograph, "after");
    if (byId("after").dataset.shown === wanted) break;
    try {
      const picture = await load(wanted, photograph);
      if (!picture || taken !== photograph) continue;
      byId("after").src = picture;
      byId("after").dataset.shown = wanted;
      byId("compare").dataset.waiting = false;
    } catch (error) {
      if (photograph.state !== "coloured") continue; // removed meanwhile
      fail(photograph, error.message);
      showItem(photograph);
      showProgress();
      if (taken === photograph) show();
    }
  }
  refreshing = false;
}

// Returns the address of a picture that is loaded; null if the photograph had to be sent again, under another address.
async function load(wanted, photograph) {
  try {
    const answer = await request(wanted);
    const picture = URL.createObjectURL(await answer.blob());
    setTimeout(() => URL.revokeObjectURL(picture), 60_000);
    return picture;
  } catch (error) {
    if (error instanceof Offline) await untilAnswered();
    else if (error instanceof Refused && error.status === 404) await sendAgain(photograph);
    else throw error;
    if (taken === photograph && photograph.state === "coloured") byId("before").src = `/api/photographs/${photograph.id}/before`;
    return null;
  }
}

async function showCandidates() {
  const photograph = taken;
  const { look, temperature } = photograph.look;
  const place = `${photograph.id} ${look} ${temperature}`;
  const box = byId("candidates");
  if (box.dataset.place === place) return;
  box.dataset.place = place;
  box.replaceChildren();
  byId("sure").textContent = "";
  const beside = { ...photograph.look, tilt: null, saturation: 1 };
  let found;
  try {
    found = await get(address(photograph, "candidates", beside));
  } catch {
    box.dataset.place = "";
    return;
  }
  if (taken !== photograph || box.dataset.place !== place) return;
  if (!found.length) {
    byId("sure").textContent = "The model is sure of the colours of this photograph.";
    return;
  }
  const options = [{ name: "likeliest", tilt: null }, ...found.map((one) => ({ name: one.name, tilt: one }))];
  box.replaceChildren(...options.map((one) => candidate(photograph, beside, one)));
}

function candidate(photograph, beside, { name, tilt }) {
  const chosen = photograph.look.tilt?.name ?? "likeliest";
  const radio = element("input", { type: "radio", name: "candidate", value: name });
  radio.checked = name === chosen;
  radio.addEventListener("change", () => change({ tilt }));
  const picture = element("img", { src: address(photograph, "thumbnail", { ...beside, tilt }), alt: "" });
  return element("label", {}, radio, picture, name);
}

function change(values) {
  taken.look = { ...taken.look, ...values };
  showLook();
  refresh();
  clearTimeout(taken.later);
  const photograph = taken;
  taken.later = setTimeout(() => photograph.state === "coloured" && showItem(photograph), 400);
}

for (const radio of document.querySelectorAll("[name=look]"))
  radio.addEventListener("change", () => {
    change({ look: radio.value, saturation: 1, temperature: null, tilt: null });
    showCandidates();
  });
byId("saturation").addEventListener("input", (event) => change({ saturation: Number(event.target.value) }));
byId("temperature").addEventListener("input", (event) => change({ temperature: Number(event.target.value) }));
byId("temperature").addEventListener("change", showCandidates);
byId("reset").addEventListener("click", () => {
  change(usual());
  showCandidates();
  for (const radio of document.querySelectorAll("[name=candidate]")) radio.checked = radio.value === "likeliest";
});
byId("same").addEventListener("click", () => {
  for (const one of photographs) {
    one.look = { ...taken.look };
    if (one.state === "coloured") showItem(one);
  }
});
byId("divide").addEventListener("input", (event) => byId("pair").style.setProperty("--at", `${event.target.value}%`));

// ---- Downloads ----

byId("download").addEventListener("click", () =>
  downloading(byId("download"), "Download", async () => {
    const photograph = taken;
    let answer;
    try {
      answer = await request(address(photograph, "file"));
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 404) throw error;
      await sendAgain(photograph);
      answer = await request(address(photograph, "file"));
    }
    const link = element("a", { href: URL.createObjectURL(await answer.blob()), download: photograph.output.split("/").pop() });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }));
byId("download-all").addEventListener("click", () =>
  downloading(byId("download-all"), "Download all as ZIP", async () => {
    const wanted = () => photographs.filter((one) => one.state === "coloured").map((one) => ({ id: one.id, ...Object.fromEntries(query(one.look)) }));
    let found;
    try {
      found = await post("/api/downloads", { photographs: wanted() });
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 404) throw error;
      for (const one of photographs) if (one.state === "coloured") await sendAgain(one);
      found = await post("/api/downloads", { photographs: wanted() });
    }
    element("a", { href: found.url, download: "coloured.zip" }).click();
  }));

async function downloading(button, text, work) {
  button.disabled = true;
  button.textContent = "Colouring at full size …";
  byId("download-problem").hidden = true;
  try {
    await work();
  } catch (error) {
    byId("download-problem").textContent = error.message;
    byId("download-problem").hidden = false;
  } finally {
    button.textContent = text;
    button.disabled = false;
  }
}
byId("remove-all").addEventListener("click", () => {
  passedOver = new Map();
  for (const one of [...photographs]) removeOne(one);
  byId("empty").querySelector("button").focus();
});

// A page that is closed or loaded again takes its photographs from the server; one that a browser keeps for "back" does not.
addEventListener("pagehide", (event) => {
  const ids = photographs.map((one) => one.id).filter(Boolean);
  if (!event.persisted && ids.length) call("POST", "/api/removals", JSON.stringify({ ids }), "application/json", { keepalive: true }).catch(() => {});
});

// ---- The server ----

const ABSENT = "The server does not answer. Start `recolor app` again; this page goes on by itself.";
let answering = null;

// Resolves when the server answers; until then the page says that it does not.
function untilAnswered() {
  answering ??= (async () => {
    for (;;) {
      try {
        suffixes = (await loadSession()).suffixes;
        break;
      } catch (error) {
        byId("offline").textContent = error instanceof Offline ? ABSENT : error.message;
        byId("offline").hidden = false;
        await wait(1000);
      }
    }
    byId("offline").hidden = true;
    answering = null;
    showModels();
  })();
  return answering;
}

let showing = false;
async function showModels() {
  if (showing) return;
  showing = true;
  try {
    for (;;) {
      const session = await loadSession();
      byId("models").textContent = { loading: "The models are being loaded …", ready: "", failed: session.error }[session.models];
      temperatures = session.temperatures;
      if (session.models !== "loading") break;
      await wait(500);
    }
    if (taken) showLook();
  } catch {
    // The next request finds that the server is gone, and says so.
  } finally {
    showing = false;
  }
}

untilAnswered();
