// Tables that sort by a click on a column's name.
for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => {
  const head = button.parentElement, column = head.cellIndex, body = head.closest("table").tBodies[0];
  const down = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "ascending" : "descending");
  const value = row => row.cells[column].dataset.v ?? row.cells[column].textContent;
  const rows = [...body.rows].sort((a, b) => value(a).localeCompare(value(b), undefined, {numeric: true}));
  body.append(...(down ? rows : rows.reverse()));
});

// Definitions on hover and on focus; Escape hides them. Without this script they are plain titles.
const tip = document.getElementById("tip");
const showTip = term => {
  tip.textContent = term.dataset.tip;
  tip.hidden = false;
  const place = term.getBoundingClientRect(), size = tip.getBoundingClientRect();
  const below = place.bottom + 8 + size.height < innerHeight;
  tip.style.left = Math.max(8, Math.min(place.left, innerWidth - size.width - 8)) + "px";
  tip.style.top = (below ? place.bottom + 6 : Math.max(8, place.top - size.height - 6)) + "px";
  term.setAttribute("aria-describedby", "tip");
};
const hideTip = () => { tip.hidden = true; };
for (const term of document.querySelectorAll(".term")) {
  term.dataset.tip = term.title;
  term.removeAttribute("title");
  for (const kind of ["mouseenter", "focus"]) term.addEventListener(kind, () => showTip(term));
  for (const kind of ["mouseleave", "blur"]) term.addEventListener(kind, hideTip);
}
addEventListener("keydown", event => { if (event.key === "Escape") hideTip(); });
addEventListener("scroll", hideTip, true);

// On paper everything is open.
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details:not([open])")) { one.open = true; one.dataset.closed = ""; }
});
addEventListener("afterprint", () => {
  for (const one of document.querySelectorAll("details[data-closed]")) { one.open = false; delete one.dataset.closed; }
});

// Bars under the pointer in a matrix of bars, with their similarity read back from the picture.
for (const matrix of document.querySelectorAll(".matrix")) {
  const image = matrix.querySelector("img"), words = matrix.parentElement.querySelector("output"), size = +matrix.dataset.bars;
  let pixels = null;
  matrix.addEventListener("mousemove", event => {
    const frame = image.getBoundingClientRect();
    const bar = offset => Math.max(0, Math.min(size - 1, Math.floor(offset * size)));
    const column = bar((event.clientX - frame.left) / frame.width), line = bar((event.clientY - frame.top) / frame.height);
    if (!pixels) {
      const canvas = Object.assign(document.createElement("canvas"), {width: size, height: size});
      const brush = canvas.getContext("2d");
      brush.drawImage(image, 0, 0);
      pixels = brush.getImageData(0, 0, size, size).data;
    }
    const red = pixels[4 * (line * size + column)], share = Math.round(100 * (255 - red) / 225);
    words.textContent = `Bar ${line + 1} and bar ${column + 1}: ${share} % of their notes are the same`;
  });
  matrix.addEventListener("mouseleave", () => { words.textContent = words.dataset.idle; });
}
