"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const sections = ["start", "trial", "result"].map((id) => document.getElementById(id));
const stage = document.getElementById("stage");
const buttons = [...stage.querySelectorAll("button")];
const progress = document.getElementById("progress");
let trials = []; // {pair, first, chosen}: which picture of the pair is shown first, and which was chosen as the photograph
let at = 0;
let ready = false; // whether both pictures of trial `at` are visible

// Returns which picture of a pair is the photograph: the second if the pair's byte has an odd number of ones.
function photographOf(pair) {
  const byte = parseInt(data.order.slice(2 * pair, 2 * pair + 2), 16);
  return byte.toString(2).replaceAll("0", "").length % 2;
}

function isFooled(trial) {
  return trial.chosen !== photographOf(trial.pair);
}

// Returns the 95% Wilson score interval of a proportion (Wilson 1927; Brown, Cai and DasGupta 2001, eq. 4).
function wilson(successes, count) {
  const z = 1.959963984540054; // the 97.5% quantile of the normal distribution
  const share = successes / count;
  const middle = (share + (z * z) / (2 * count)) / (1 + (z * z) / count);
  const spread = (z / (1 + (z * z) / count)) * Math.sqrt((share * (1 - share)) / count + (z * z) / (4 * count * count));
  return { low: successes === 0 ? 0 : middle - spread, high: successes === count ? 1 : middle + spread };
}

function shuffled(count) {
  const order = Array.from({ length: count }, (_, place) => place);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

function openSection(id) {
  for (const section of sections) section.hidden = section.id !== id;
  scrollTo(0, 0);
  document.getElementById(id).focus({ preventScroll: true });
}

function begin() {
  trials = shuffled(data.pairs.length).map((pair) => ({ pair, first: Math.random() < 0.5 ? 0 : 1, chosen: null }));
  at = 0;
  openSection("trial");
  show();
}

// Returns the pictures of a trial in the order shown.
function inOrder(trial) {
  return [trial.first, 1 - trial.first];
}

async function show() {
  ready = false;
  stage.classList.remove("shown");
  const trial = trials[at];
  progress.textContent = `${at + 1} of ${trials.length}`;
  document.getElementById("done").style.width = `${(100 * at) / trials.length}%`;
  const loads = inOrder(trial).map((picture, place) => {
    const image = buttons[place].querySelector("img");
    image.alt = `Picture ${place + 1} of pair ${at + 1}`;
    image.src = data.pairs[trial.pair].pictures[picture];
    return image.decode();
  });
  await Promise.all(loads); // shown together: a picture that appears later would be recognisable
  stage.classList.add("shown");
  ready = true;
}

function choose(place) {
  if (!ready) return;
  ready = false;
  trials[at].chosen = inOrder(trials[at])[place];
  at += 1;
  if (at < trials.length) show();
  else report();
}

function percent(share) {
  return `${(100 * share).toFixed(1).replace(/\.0$/, "")}%`;
}

// Returns a headline and an explanation of the interval.
function verdict({ low, high }) {
  if (high < 0.5)
    return ["The model's colours can be distinguished from real ones.", "The whole interval is below 50%, the score of guessing."];
  if (low > 0.5)
    return ["The model's pictures look more real than photographs.", "The whole interval is above 50%, the score of guessing."];
  return [
    "These answers cannot be distinguished from guessing.",
    "The interval contains 50%, the score of guessing. This does not prove that there is no difference: more pairs or" +
      " other people may find one.",
  ];
}

function summary() {
  const fooled = trials.filter(isFooled).length;
  return { pairs: trials.length, fooled, rate: fooled / trials.length, ...wilson(fooled, trials.length) };
}

function report() {
  const { pairs, fooled, rate, low, high } = summary();
  const [headline, meaning] = verdict({ low, high });
  const says = {
    headline,
    meaning,
    rate: percent(rate),
    interval: `${percent(low)} to ${percent(high)}`,
    fooled: `${fooled} of ${pairs}`,
    right: `${pairs - fooled} of ${pairs}`,
  };
  for (const [id, text] of Object.entries(says)) document.getElementById(id).textContent = text;
  const scale = document.getElementById("scale").style;
  for (const [name, share] of Object.entries({ rate, low, high })) scale.setProperty(`--${name}`, `${100 * share}%`);
  document.getElementById("answers").replaceChildren(...trials.map(answerOf));
  openSection("result");
}

// Returns a list item: both pictures in the order shown, which one is the photograph, and which was chosen.
function answerOf(trial, place) {
  const item = document.getElementById("answer").content.firstElementChild.cloneNode(true);
  const fooled = isFooled(trial);
  item.dataset.fooled = fooled;
  item.querySelector(".outcome").textContent = fooled ? "fooled" : "right";
  item.querySelector(".name").textContent = `${place + 1}. ${data.pairs[trial.pair].name}`;
  inOrder(trial).forEach((picture, side) => {
    const figure = item.querySelectorAll("figure")[side];
    const what = picture === photographOf(trial.pair) ? "Photograph" : "Coloured by the model";
    const image = figure.querySelector("img");
    image.src = data.pairs[trial.pair].pictures[picture];
    image.alt = `${what}: ${data.pairs[trial.pair].name}`;
    figure.querySelector("b").textContent = what;
    figure.querySelector("em").hidden = picture !== trial.chosen;
  });
  return item;
}

function answers() {
  const places = ["first", "second"];
  return trials.map((trial) => ({
    photograph: data.pairs[trial.pair].name,
    photograph_stood: places[inOrder(trial).indexOf(photographOf(trial.pair))],
    chosen: places[inOrder(trial).indexOf(trial.chosen)],
    fooled: isFooled(trial),
  }));
}

// RFC 4180: a cell with a comma, quote, line break or outer space is quoted, and its quotes are doubled.
function cell(value) {
  const text = String(value);
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function answersCsv() {
  const rows = answers();
  return [Object.keys(rows[0]), ...rows.map(Object.values)].map((row) => `${row.map(cell).join(",")}\n`).join("");
}

function answersJson() {
  return `${JSON.stringify({ ...summary(), confidence: 0.95, answers: answers() }, null, 2)}\n`;
}

function download(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const keys = { ArrowLeft: 0, 1: 0, ArrowRight: 1, 2: 1 };
document.addEventListener("keydown", (event) => {
  const isShortcut = event.ctrlKey || event.metaKey || event.altKey;
  if (isShortcut || event.repeat || sections[1].hidden || !(event.key in keys)) return;
  event.preventDefault();
  choose(keys[event.key]);
});
buttons.forEach((button, place) => button.addEventListener("click", () => choose(place)));
document.getElementById("begin").addEventListener("click", begin);
document.getElementById("again").addEventListener("click", begin);
document.getElementById("csv").addEventListener("click", () => download("answers.csv", "text/csv", answersCsv()));
document.getElementById("json").addEventListener("click", () => download("answers.json", "application/json", answersJson()));
