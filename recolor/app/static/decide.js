import { Offline, Refused, element, get, loadSession, plural, post, wait } from "./session.js";

const CHUNK = 120; // cards that are made at a time
const POLL_MS = 2000;
const byId = (id) => document.getElementById(id);
let review = null; // sections, as the detectors left them
let state = null; // decisions, and which images are rejected with them
let rejected = new Set();
let issue = null; // the section that is shown
let pending = new Map(); // setting -> value that is not applied yet
let queue = []; // decisions that wait for the server
let cards = []; // of the section, in its order
let shownImage = null; // in the lightbox

const title = (name) => (name[0].toUpperCase() + name.slice(1)).replaceAll("_", " ");
// A browser keeps pictures for an hour; those of another workspace on the same port may have the same paths.
const picture = (what, path) => `/api/${what}?path=${encodeURIComponent(path)}&of=${review.version.slice(0, 16)}`;
const thumbnail = (path) => picture("thumbnail", path);
const size = (bytes) => bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

// ---- Loading ----

async function load() {
  const session = await loadSession();
  byId("workspace").textContent = session.workspace ?? "";
  byId("none").hidden = session.workspace !== null;
  byId("intro").hidden = session.workspace === null;
  if (session.workspace === null) return;
  const [found, now] = await Promise.all([get("/api/review"), get("/api/state")]);
  review = found;
  setState(now);
  byId("problem").hidden = true;
  byId("review").hidden = false;
  if (!review.sections.some((section) => section.issue === issue))
    issue = location.hash.slice(1) || review.sections[0]?.issue;
  if (!review.sections.some((section) => section.issue === issue)) issue = review.sections[0]?.issue;
  showTabs();
  showSection();
}

function setState(now) {
  state = now;
  rejected = new Set(now.rejected);
  for (const card of cards) mark(card);
  const decided = Object.keys(state.decisions).length;
  const kept = state.images - rejected.size;
  byId("told").textContent = `${kept.toLocaleString("en")} of ${plural(state.images, "image")} kept · ${plural(decided, "decision")}`;
  byId("undo").disabled = !state.undoable;
  byId("undo").textContent = state.undoable ? `Undo (${state.undoable})` : "Undo";
  byId("apply").textContent = pending.size ? `Apply (${plural(pending.size, "setting")})` : "Apply";
  if (byId("lightbox").open) markLightbox();
}

function showTabs() {
  const tabs = review.sections.map((section) =>
    element("button", { role: "tab", id: `tab-${section.issue}`, "aria-selected": String(section.issue === issue), "aria-controls": "section",
      tabindex: section.issue === issue ? 0 : -1, onclick: () => turnTo(section.issue) },
      title(section.issue), element("span", {}, section.count.toLocaleString("en"))));
  byId("tabs").replaceChildren(...tabs);
}

function turnTo(name) {
  issue = name;
  history.replaceState(null, "", `#${name}`);
  showTabs();
  showSection();
  const bar = document.querySelector(".bar");
  if (bar.getBoundingClientRect().top <= 0) scrollTo({ top: byId("review").offsetTop });
}

byId("tabs").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const at = review.sections.findIndex((section) => section.issue === issue);
  const next = review.sections[at + step];
  event.preventDefault();
  event.stopPropagation();
  if (!next) return;
  turnTo(next.issue);
  byId(`tab-${next.issue}`).focus();
});

// ---- A section ----

function showSection() {
  const box = byId("section");
  cards = [];
  const section = review.sections.find((one) => one.issue === issue);
  if (!section) {
    box.replaceChildren(element("h2", { id: "title" }, "No outliers"), element("p", { class: "faint" }, "No image is listed by an issue or close to a threshold."));
    return;
  }
  const meaning = section.meaning[0].toUpperCase() + section.meaning.slice(1) + ".";
  const left = section.left_out ? ` ${section.left_out.toLocaleString("en")} more are not shown; their scores lie between the worst and those nearest to the threshold.` : "";
  const more = section.issue === "duplicate" ? " Each group shows the best copy and its other copies; the most similar groups come first." : "";
  box.replaceChildren(
    element("h2", { id: "title" }, title(section.issue), " ", element("small", {}, `${section.count.toLocaleString("en")} listed`)),
    element("p", { class: "faint" }, meaning + more + left),
    settingsOf(section));
  if (section.groups.length) box.append(lazily(section.groups, groupOf, "groups"));
  else box.append(lazily(section.outliers, (image) => cardOf(image), "grid"));
  if (section.has_limit) {
    const near = section.near.length + section.near_groups.length;
    box.append(element("div", { class: "line" }, element("span", {}, "listed ↑   ", element("b", {}, `threshold ${section.threshold.toFixed(2)}`), near ? "   just above it, not listed ↓" : "   no image is just above it")));
  }
  if (section.near_groups.length) box.append(lazily(section.near_groups, groupOf, "groups"));
  else if (section.near.length) box.append(lazily(section.near, (image) => cardOf(image), "grid"));
  rove(cards[0]);
}

// Makes the elements of a long list as it is scrolled to.
function lazily(items, make, kind) {
  const box = element("div", { class: kind });
  let done = 0;
  const more = () => {
    box.append(...items.slice(done, done + CHUNK).map((item) => make(item)));
    done += CHUNK;
  };
  more();
  if (done < items.length) {
    const end = element("div");
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      end.remove();
      more();
      if (done < items.length) box.append(end);
      else observer.disconnect();
    }, { rootMargin: "1500px" });
    box.append(end);
    observer.observe(end);
  }
  return box;
}

function groupOf(group) {
  const box = element("div", { class: "group" }, element("div", { class: "grid" }, ...group.cards.map((card) => cardOf(card, group))));
  box.style.setProperty("--cards", group.cards.length);
  if (group.left_out) box.append(element("p", { class: "faint" }, `${group.left_out.toLocaleString("en")} more copies are not shown.`));
  return box;
}

function cardOf(image, group = null) {
  const name = image.path.split("/").pop();
  const folder = image.path.slice(0, image.path.length - name.length);
  const decoded = image.width_px !== null;
  const card = element("article", { class: decoded ? "card" : "card fixed", "aria-label": image.path, tabindex: "-1" });
  card.image = image;
  card.copies = group?.cards && image.score === null ? group.cards.slice(1) : null; // of a best copy
  if (decoded) {
    const picture = element("button", { class: "picture", tabindex: "-1", "aria-label": `Enlarge ${name}`, onclick: () => enlarge(card) });
    picture.append(pictureOf(image), element("em", { class: "status tag" }));
    card.append(picture);
  }
  const says = element("div", { class: "says" });
  const section = review.sections.find((one) => one.issue === issue);
  if (image.score !== null && image.score !== undefined && decoded) says.append(scoreOf(image.score, section.threshold));
  says.append(element("div", { class: "path" }, element("small", {}, folder), element("b", {}, name)));
  says.append(element("small", {}, (decoded ? `${image.width_px} × ${image.height_px} px · ` : "") + size(image.size_bytes)));
  if (image.reason) says.append(element("div", { class: "reason", title: image.reason }, image.reason));
  says.append(element("strong", { class: "note", hidden: true }));
  if (image.others?.length) says.append(element("div", { class: "tags" }, ...image.others.map((other) => element("span", { class: "tag" }, `also ${other.replaceAll("_", " ")}`))));
  if (decoded)
    says.append(element("div", { class: "choice" },
      element("button", { value: "keep", tabindex: "-1", "aria-pressed": "false", "aria-label": `Keep ${name}` }, "Keep"),
      element("button", { value: "reject", tabindex: "-1", "aria-pressed": "false", "aria-label": `Reject ${name}` }, "Reject")));
  card.append(says);
  cards.push(card);
  mark(card);
  return card;
}

function pictureOf(image) {
  if (!review.has_pictures) return element("span", {}, "the folder of photographs was not found");
  const picture = element("img", { src: thumbnail(image.path), alt: "", loading: "lazy", decoding: "async" });
  picture.addEventListener("error", () => picture.replaceWith(element("span", {}, "no picture: the file is gone or cannot be decoded")));
  return picture;
}

function scoreOf(score, threshold) {
  const bar = element("i", {}, element("b"), element("u"));
  bar.firstChild.style.width = `${100 * score}%`;
  bar.lastChild.style.left = `${100 * threshold}%`;
  return element("div", { class: "score" }, bar, element("span", {}, score.toFixed(2), " ", element("small", {}, `of ${threshold.toFixed(2)}`)));
}

function mark(card) {
  const { path } = card.image;
  const decision = state.decisions[path];
  if (decision) card.dataset.decision = decision;
  else delete card.dataset.decision;
  for (const button of card.querySelectorAll(".choice button")) button.setAttribute("aria-pressed", String(button.value === decision));
  const status = card.querySelector(".status");
  if (status) {
    status.textContent = rejected.has(path) ? "rejected" : "kept";
    status.className = `status tag ${status.textContent}`;
  }
  const note = card.querySelector(".note");
  note.hidden = !(card.copies && rejected.has(path));
  if (note.hidden) return;
  const kept = card.copies.filter((copy) => !rejected.has(copy.path)).map((copy) => copy.path.split("/").pop());
  note.textContent = `This best copy is itself rejected; ${kept.length ? `kept in its place: ${kept.join(", ")}.` : "no copy is kept."}`;
}

// ---- Limits ----

function settingsOf(section) {
  const box = element("div", { class: "setting" });
  const moved = element("div", { class: "moved", "aria-live": "polite" });
  for (const limit of section.limits) box.append(sliderOf(limit, moved));
  if (section.count && section.issue !== "decision") box.append(bulkOf(section));
  if (!box.childNodes.length) return document.createTextNode("");
  box.append(moved);
  return box;
}

function sliderOf(limit, moved) {
  const value = pending.get(limit.setting) ?? limit.value;
  const slider = element("input", { type: "range", min: limit.least, max: limit.most, step: limit.step });
  slider.value = limit.value;
  const unmoved = slider.value; // the nearest that the slider can show
  slider.value = value;
  slider.setAttribute("value", value);
  const told = element("p", { role: "status" });
  const shown = element("output");
  const label = element("label", {}, element("span", {}, element("b", {}, limit.label), " ", shown), slider);
  const format = (number) => Number(number.toFixed(2)).toString();
  const show = () => {
    const now = Number(slider.value);
    const changed = slider.value !== unmoved;
    shown.textContent = changed ? `${format(limit.value)} → ${format(now)}` : format(limit.value);
    if (changed) pending.set(limit.setting, now);
    else pending.delete(limit.setting);
    byId("apply").textContent = pending.size ? `Apply (${plural(pending.size, "setting")})` : "Apply";
    return changed;
  };
  let asking = false;
  const ask = async () => {
    if (asking) return;
    asking = true;
    let asked = null;
    while (asked !== slider.value) {
      asked = slider.value;
      if (!show()) {
        told.textContent = "";
        moved.replaceChildren();
        continue;
      }
      try {
        const found = await get(`/api/preview?setting=${limit.setting}&value=${asked}`);
        told.textContent = `Would list ${found.listed.toLocaleString("en")} instead of ${found.listed_now.toLocaleString("en")}: ${found.all_rejected.toLocaleString("en")} would go, ${found.all_kept.toLocaleString("en")} would come back.`;
        moved.replaceChildren(stripOf("Would be rejected", found.rejected, found.all_rejected), stripOf("Would be kept", found.kept, found.all_kept));
      } catch (error) {
        told.textContent = error.message;
      }
    }
    asking = false;
  };
  slider.addEventListener("input", ask);
  if (show()) ask();
  return element("div", {}, label, told);
}

function stripOf(text, images, count) {
  if (!count) return "";
  const figures = images.map((image) =>
    element("figure", {}, element("button", { "aria-label": `Enlarge ${image.path}`, onclick: () => enlargeImage(image) },
      element("img", { src: thumbnail(image.path), alt: "", loading: "lazy" })),
      element("figcaption", {}, `${image.score === undefined || image.score === null ? "" : image.score.toFixed(2) + " "}${image.path.split("/").pop()}`)));
  const more = count > images.length ? `, ${images.length} of them shown` : "";
  return element("div", {}, element("h3", {}, `${text}: ${count.toLocaleString("en")}${more}`), element("div", { class: "strip", tabindex: "0", role: "group", "aria-label": text }, ...figures));
}

// ---- Decisions ----

function bulkOf(section) {
  const scores = section.outliers.map((image) => image.score).concat(section.groups.flatMap((group) => group.cards.slice(1).map((image) => image.score))).filter((score) => score !== null);
  const most = Math.ceil(100 * Math.max(section.threshold, ...scores)) / 100; // a place of the slider
  const slider = element("input", { type: "range", min: 0, max: most, step: 0.01, value: most });
  slider.value = most;
  const shown = element("output");
  const isAll = () => Number(slider.value) >= most - 0.005;
  const count = () => isAll() ? section.count : scores.filter((score) => score <= Number(slider.value)).length;
  const show = () => {
    shown.textContent = isAll() ? `all ${section.count.toLocaleString("en")}` : `${count().toLocaleString("en")} with a score up to ${Number(slider.value).toFixed(2)}`;
  };
  slider.addEventListener("input", show);
  show();
  const decideAll = (decision) => () => send({ issue: section.issue, below: isAll() ? null : Number(slider.value), decision });
  const keep = section.issue === "corrupt" || section.issue === "too_large" ? null : element("button", { class: "button", onclick: decideAll("keep") }, "Keep these");
  return element("div", {},
    element("label", {}, element("span", {}, element("b", {}, "Decide about many at once"), " ", shown), slider),
    element("div", { class: "actions" }, keep, element("button", { class: "button", onclick: decideAll("reject") }, "Reject these"),
      element("button", { class: "button", onclick: decideAll(null) }, "No decision")));
}

function decide(path, decision) {
  const now = { ...state.decisions };
  if (decision) now[path] = decision;
  else delete now[path];
  setState({ ...state, decisions: now }); // shown at once; the answer says the rest
  return send({ paths: [path], decision });
}

// Decisions are sent one after the other; while the server does not answer, they wait.
let sending = null;
function send(decided) {
  queue.push(decided);
  sending ??= sendAll().finally(() => { sending = null; });
  return sending;
}

async function sendAll() {
  while (queue.length) {
    try {
      const now = await post("/api/decisions", queue[0]);
      queue.shift();
      if (!queue.length) setState(now);
    } catch (error) {
      if (error instanceof Offline) {
        showOffline();
        return;
      }
      queue.shift();
      showProblem(error.message);
      await get("/api/state").then(setState, () => {}); // else the next poll brings it
    }
  }
}

// What is being sent comes first: otherwise the decision before it would be undone.
async function undo() {
  if (sending) await sending;
  if (queue.length) {
    showOffline();
    return;
  }
  try {
    const now = await post("/api/undo", {});
    setState(now);
    const card = cards.find((one) => now.undone.includes(one.image.path));
    if (card && !byId("lightbox").open) focus(card);
  } catch (error) {
    if (error instanceof Offline) showOffline();
    else showProblem(error.message);
  }
}

function showProblem(text) {
  if (!byId("problem").hidden && byId("problem").textContent === text) return; // scrolls once
  byId("problem").textContent = text;
  byId("problem").hidden = false;
  byId("problem").scrollIntoView({ block: "nearest" });
}

// ---- Keyboard ----

const isShown = (card) => card.getClientRects().length > 0;

// One card at a time is in the order of Tab, with its buttons.
function rove(card) {
  for (const other of document.querySelectorAll(".card[tabindex='0']")) {
    other.tabIndex = -1;
    for (const button of other.querySelectorAll("button")) button.tabIndex = -1;
  }
  if (!card) return;
  card.tabIndex = 0;
  for (const button of card.querySelectorAll("button")) button.tabIndex = 0;
}

function focus(card) {
  if (!card) return;
  rove(card);
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

function ordered() {
  return [...byId("section").querySelectorAll(".card")].filter(isShown);
}

function beside(card, key) {
  const list = ordered();
  const at = list.indexOf(card);
  if (key === "ArrowRight") return list[at + 1];
  if (key === "ArrowLeft") return list[at - 1];
  const step = key === "ArrowDown" ? 1 : -1;
  const from = card.getBoundingClientRect();
  let best = null;
  for (let next = at + step; list[next]; next += step) {
    const place = list[next].getBoundingClientRect();
    if (Math.abs(place.top - from.top) < 2) continue;
    if (best && Math.abs(place.top - best.top) > 2) break;
    const away = Math.abs(place.left - from.left);
    if (!best || away < best.away) best = { card: list[next], away, top: place.top };
  }
  return best?.card;
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input, [role=tablist]")) return;
  if (byId("applied").open) return;
  const words = { k: "keep", r: "reject" };
  if (event.key === "u") undo();
  else if (byId("lightbox").open) {
    if (event.key === "ArrowRight") turn(1);
    else if (event.key === "ArrowLeft") turn(-1);
    else if (words[event.key]) decideShown(words[event.key]);
    else return;
  } else {
    const card = document.activeElement.closest(".card");
    if (event.key.startsWith("Arrow")) {
      if (!card && !["ArrowRight", "ArrowDown"].includes(event.key)) return;
      if (!card) return;
      focus(beside(card, event.key));
    } else if (card && words[event.key] && card.image.width_px !== null) {
      const next = beside(card, "ArrowRight"); // found before a filter hides the card
      decide(card.image.path, words[event.key]);
      focus(next ?? card);
    } else if (card && event.key === "Enter" && event.target === card) enlarge(card);
    else return;
  }
  event.preventDefault();
});

byId("section").addEventListener("click", (event) => {
  const card = event.target.closest(".card");
  const button = event.target.closest(".choice button");
  if (!card) return;
  rove(card);
  if (button) decide(card.image.path, button.getAttribute("aria-pressed") === "true" ? null : button.value);
});
byId("section").addEventListener("focusin", (event) => {
  const card = event.target.closest(".card");
  if (card && card.tabIndex !== 0) rove(card);
});
byId("undo").addEventListener("click", undo);
byId("show").addEventListener("change", (event) => { document.body.dataset.show = event.target.value; });

// ---- Lightbox ----

function enlarge(card) {
  shownImage = { card, image: card.image };
  showLarge();
}

function enlargeImage(image) {
  shownImage = { card: null, image };
  showLarge();
}

function showLarge() {
  const { card, image } = shownImage;
  byId("large").src = picture("original", image.path);
  byId("large").alt = image.path;
  byId("lightbox-name").textContent = image.path;
  for (const id of ["previous", "next"]) byId(id).hidden = card === null;
  markLightbox();
  if (!byId("lightbox").open) byId("lightbox").showModal();
}

function markLightbox() {
  const { image } = shownImage;
  const decision = state.decisions[image.path];
  byId("lightbox-facts").textContent = [`${image.width_px} × ${image.height_px} px`, size(image.size_bytes),
    rejected.has(image.path) ? "rejected" : "kept", image.reason].filter(Boolean).join(" · ");
  for (const word of ["keep", "reject"]) {
    byId(`lightbox-${word}`).setAttribute("aria-pressed", String(decision === word));
    byId(`lightbox-${word}`).classList.toggle("main", decision === word);
  }
}

function turn(step) {
  if (!shownImage.card) return;
  const list = ordered().filter((card) => card.image.width_px !== null);
  const next = list[list.indexOf(shownImage.card) + step];
  if (next) enlarge(next);
}

function decideShown(word) {
  const { image } = shownImage;
  decide(image.path, state.decisions[image.path] === word ? null : word);
}

byId("previous").addEventListener("click", () => turn(-1));
byId("next").addEventListener("click", () => turn(1));
byId("lightbox-keep").addEventListener("click", () => decideShown("keep"));
byId("lightbox-reject").addEventListener("click", () => decideShown("reject"));
byId("close").addEventListener("click", () => byId("lightbox").close());
byId("lightbox").addEventListener("close", () => { if (shownImage?.card) focus(shownImage.card); });

// ---- Apply ----

byId("apply").addEventListener("click", async () => {
  const settings = Object.fromEntries(pending);
  byId("applied-text").replaceChildren(element("p", {}, "Detecting and selecting …"));
  byId("applied-close").disabled = true;
  byId("applied").showModal();
  try {
    if (sending) await sending;
    await post("/api/apply", { settings });
    let job;
    do {
      await wait(400);
      job = await get("/api/apply");
    } while (job.state === "running");
    if (job.state === "failed") throw new Refused(500, job.error);
    pending = new Map();
    showApplied(job.applied);
    await load();
  } catch (error) {
    byId("applied-text").replaceChildren(element("p", { class: "problem" }, error.message));
  } finally {
    byId("applied-close").disabled = false;
  }
});
byId("applied-close").addEventListener("click", () => byId("applied").close());

function showApplied(applied) {
  const before = applied.kept_before === null ? "" : ` (${applied.kept_before.toLocaleString("en")} before)`;
  const saved = Object.entries(applied.saved).map(([name, value]) => `${name} = ${value}`).join(", ");
  byId("applied-text").replaceChildren(
    element("p", {}, `${plural(applied.kept, "image")} kept${before}: ${applied.all_newly_rejected.toLocaleString("en")} newly rejected, ${applied.all_newly_kept.toLocaleString("en")} newly kept.`),
    saved ? element("p", { class: "faint" }, `Saved in recolor.toml: ${saved}`) : "",
    stripOf("Newly rejected", applied.newly_rejected, applied.all_newly_rejected),
    stripOf("Newly kept", applied.newly_kept, applied.all_newly_kept));
}

// ---- The server: changes from elsewhere, and its absence ----

function showOffline() {
  const waiting = queue.length ? ` ${plural(queue.length, "decision")} will be sent then.` : "";
  byId("offline").textContent = `The server does not answer. Start \`recolor app\` again; this page goes on by itself.${waiting}`;
  byId("offline").hidden = false;
}

let seen = () => {}; // ends the pause of `poll`
document.addEventListener("visibilitychange", () => seen());

async function poll() {
  let polled = ""; // the problem that the last poll found
  for (;;) {
    await Promise.race([wait(POLL_MS), new Promise((done) => { seen = done; })]);
    if (document.hidden) continue;
    try {
      if (!review) await load();
      const versions = review && (await get("/api/versions"));
      const wasOffline = !byId("offline").hidden;
      if (queue.length && !sending) {
        sending = sendAll().finally(() => { sending = null; });
        await sending;
      }
      byId("offline").hidden = !queue.length;
      if (!review || sending || byId("applied").open) continue;
      if (versions.review !== review.version) await load();
      else if (wasOffline || versions.decisions !== state.decisions_version) setState(await get("/api/state"));
      if (polled && byId("problem").textContent === polled) byId("problem").hidden = true;
      polled = "";
    } catch (error) {
      if (error instanceof Offline) showOffline();
      else {
        byId("offline").hidden = true;
        polled = error.message;
        showProblem(polled);
      }
    }
  }
}

addEventListener("beforeunload", (event) => {
  if (queue.length) event.preventDefault();
});

load().catch((error) => error instanceof Offline ? showOffline() : showProblem(error.message)).then(poll);
