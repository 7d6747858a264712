"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const decisions = new Map(data.decisions); // path -> "keep" or "reject", starting with earlier decisions
const cards = [...document.querySelectorAll(".card[tabindex]")];
const places = new Map(cards.map((card, place) => [card, place]));
const cardsOf = Map.groupBy ? Map.groupBy(cards, pathOf) : groupByPath();
const made = document.getElementById("made");
const save = document.getElementById("save");
const undo = document.getElementById("undo");
const changes = []; // {path, before}, the last one last
const place = `recolor ${location.pathname}`; // in the browser's storage
let unsaved = false;

function pathOf(card) {
  return data.paths[card.dataset.image];
}

function groupByPath() {
  const groups = new Map();
  for (const card of cards) groups.set(pathOf(card), [...(groups.get(pathOf(card)) ?? []), card]);
  return groups;
}

// An image may be listed by several issues: all its cards show the decision.
function mark(path) {
  const decision = decisions.get(path);
  for (const card of cardsOf.get(path) ?? []) {
    if (decision) card.dataset.decision = decision;
    else delete card.dataset.decision;
    for (const button of card.querySelectorAll(".choice button"))
      button.setAttribute("aria-pressed", button.value === decision);
  }
}

function count() {
  made.textContent = `${decisions.size} ${decisions.size === 1 ? "decision" : "decisions"}`;
  save.dataset.unsaved = unsaved;
  save.disabled = !unsaved && !decisions.size;
  undo.disabled = !changes.length;
}

function decide(card, decision) {
  changes.push({ path: pathOf(card), before: decisions.get(pathOf(card)) });
  change(pathOf(card), decision);
}

function change(path, decision) {
  if (decision) decisions.set(path, decision);
  else decisions.delete(path);
  unsaved = true;
  document.getElementById("saved").hidden = true;
  mark(path);
  count();
  remember(null);
}

function undoLast() {
  const last = changes.pop();
  if (!last) return;
  change(last.path, last.before);
  focus(cardsOf.get(last.path)?.find(isShown));
}

// Decisions outlive a reload. After they were saved, they are dropped as soon as the page has been made anew.
function remember(savedFrom) {
  try {
    localStorage.setItem(place, JSON.stringify({ decisions: [...decisions], savedFrom }));
  } catch {
    // The browser stores nothing for files; the question before leaving the page remains.
  }
}

function recall() {
  try {
    const stored = JSON.parse(localStorage.getItem(place));
    if (!stored || (stored.savedFrom && stored.savedFrom !== data.id)) return;
    decisions.clear();
    for (const [path, decision] of stored.decisions) decisions.set(path, decision);
    unsaved = !stored.savedFrom;
  } catch {
    // Nothing was stored, or the browser does not tell.
  }
}

// RFC 4180: a cell with a comma, quote, line break or outer space is quoted, and its quotes are doubled.
function cell(text) {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function decisionsCsv() {
  const lines = [...decisions].map(([path, decision]) => `${cell(path)},${decision}\n`);
  return "path,decision\n" + lines.join("");
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([decisionsCsv()], { type: "text/csv;charset=utf-8" }));
  link.download = "decisions.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  unsaved = false;
  document.getElementById("saved").hidden = false;
  count();
  remember(data.id);
}

function isShown(card) {
  return card.getClientRects().length > 0;
}

function neighbour(card, step) {
  let place = card ? places.get(card) + step : 0;
  while (cards[place] && !isShown(cards[place])) place += card ? step : 1;
  return cards[place];
}

// The nearest card of the row above or below.
function beyond(card, step) {
  const from = card.getBoundingClientRect();
  let best, row;
  for (let next = neighbour(card, step); next; next = neighbour(next, step)) {
    const at = next.getBoundingClientRect();
    if (Math.abs(at.top - from.top) < 2) continue;
    row ??= at.top;
    if (Math.abs(at.top - row) > 2) break;
    const away = Math.abs(at.left - from.left);
    if (best && best.away <= away) break;
    best = { card: next, away };
  }
  return best?.card;
}

function focus(card) {
  card?.focus({ preventScroll: true });
  card?.scrollIntoView({ block: "nearest" });
}

const moves = {
  ArrowRight: (card) => neighbour(card, 1),
  ArrowLeft: (card) => neighbour(card, -1),
  ArrowDown: (card) => beyond(card, 1),
  ArrowUp: (card) => beyond(card, -1),
};
const choices = { k: "keep", r: "reject" };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select")) return;
  const card = document.activeElement.closest(".card[tabindex]");
  const move = moves[event.key];
  if (event.key === "u") undoLast();
  else if (move) focus(card ? move(card) : neighbour(null, 1));
  else if (card && event.key in choices) {
    const next = neighbour(card, 1); // found before a filter may hide the card
    decide(card, choices[event.key]);
    focus(next);
  } else return;
  event.preventDefault();
});

document.getElementById("issues").addEventListener("click", (event) => {
  const card = event.target.closest(".card[tabindex]");
  if (!card || event.target.closest("a")) return;
  const button = event.target.closest(".choice button");
  if (button) decide(card, button.getAttribute("aria-pressed") === "true" ? null : button.value);
  card.focus({ preventScroll: true });
});

document.querySelector(".tabs").addEventListener("click", (event) => {
  const tab = event.target.closest("button");
  if (!tab) return;
  for (const other of tab.parentElement.children) other.setAttribute("aria-pressed", other === tab);
  for (const section of document.querySelectorAll("[data-issue]"))
    section.hidden = tab.value !== "" && section.dataset.issue !== tab.value;
  const bar = document.querySelector(".bar");
  if (scrollY > bar.offsetTop) document.getElementById("issues").scrollIntoView();
});

document.getElementById("show").addEventListener("change", (event) => {
  document.body.dataset.show = event.target.value;
});
save.addEventListener("click", download);
undo.addEventListener("click", undoLast);
addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault();
});

recall();
for (const path of decisions.keys()) mark(path);
count();
