"use strict";
const zoom = document.getElementById("zoom");
const picture = zoom.querySelector("img");
const columns = [...zoom.querySelectorAll("[data-column]")];
const rows = [...document.querySelectorAll(".tiles")].map((row) => [...row.children]);
let row = 0;
let column = 0;

// Shows a tile in the place of the previous one, so that the two can be compared.
function showTile(toRow, toColumn) {
  row = (toRow + rows.length) % rows.length;
  column = (toColumn + columns.length) % columns.length;
  const tile = rows[row][column].querySelector("img");
  picture.src = tile.src;
  picture.alt = tile.alt;
  document.getElementById("zoomed").textContent = rows[row][0].closest("figure").querySelector("figcaption").innerText;
  columns.forEach((button, place) => button.setAttribute("aria-pressed", place === column));
}

rows.forEach((tiles, toRow) =>
  tiles.forEach((tile, toColumn) =>
    tile.addEventListener("click", () => {
      showTile(toRow, toColumn);
      zoom.showModal();
    }),
  ),
);
columns.forEach((button, toColumn) => button.addEventListener("click", () => showTile(row, toColumn)));
picture.addEventListener("click", () => showTile(row, column + 1));
document.getElementById("close").addEventListener("click", () => zoom.close());
zoom.addEventListener("click", (event) => {
  if (event.target === zoom) zoom.close(); // outside the picture
});
zoom.addEventListener("close", () => rows[row][column].focus());

const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
zoom.addEventListener("keydown", (event) => {
  const move = moves[event.key];
  if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  showTile(row + move[0], column + move[1]);
});

// Printed pages contain the meanings of the metrics, but not the settings.
const meanings = [...document.querySelectorAll(".meaning")].map((list) => list.closest("details"));
let wereOpen = [];
addEventListener("beforeprint", () => {
  wereOpen = meanings.map((part) => part.open);
  meanings.forEach((part) => (part.open = true));
});
addEventListener("afterprint", () => {
  meanings.forEach((part, place) => (part.open = wereOpen[place]));
});
