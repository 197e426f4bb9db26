"use strict";
// Only the pairs of one page are in the document. Texts go in as text, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const form = document.getElementById("filters");
const status = document.getElementById("status");
const list = document.getElementById("pairs");
const pageInput = document.getElementById("page");
const MOST_CELLS = 4e6; // of the table that compares two texts; longer ones are compared as sets of words
let found = [];
let page = 0;

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Words are compared; what stands between them goes with the word before.
function split(parts) {
  const words = [];
  parts.forEach((text, part) => {
    for (const [whole, word] of text.matchAll(/([\p{L}\p{M}\p{N}]+)?[^\p{L}\p{M}\p{N}]*/gu))
      if (whole) words.push({ whole, part, key: (word || "").normalize("NFKC").toLowerCase() });
  });
  return words;
}

// Mark the words that are not part of a longest common subsequence.
function compare(left, right) {
  let start = 0;
  let ends = [left.length, right.length];
  const same = (i, j) => left[i].key === right[j].key;
  while (start < ends[0] && start < ends[1] && same(start, start)) start++;
  while (ends[0] > start && ends[1] > start && same(ends[0] - 1, ends[1] - 1)) ends = [ends[0] - 1, ends[1] - 1];
  const a = left.slice(start, ends[0]);
  const b = right.slice(start, ends[1]);
  if (a.length * b.length > MOST_CELLS) return markAsSets(a, b);
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      longest[i * width + j] =
        a[i].key === b[j].key
          ? longest[(i + 1) * width + j + 1] + 1
          : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (a[i].key === b[j].key) [i, j] = [i + 1, j + 1];
    else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) a[i++].differs = true;
    else b[j++].differs = true;
  }
  while (i < a.length) a[i++].differs = true;
  while (j < b.length) b[j++].differs = true;
}

function markAsSets(a, b) {
  const [inA, inB] = [a, b].map((words) => new Set(words.map((word) => word.key)));
  for (const word of a) word.differs = !inB.has(word.key);
  for (const word of b) word.differs = !inA.has(word.key);
}

function marked(words, part, className) {
  const quote = element("blockquote", undefined, className);
  let run = "";
  let differs = false;
  const flush = () => {
    const end = differs ? run.trimEnd().length : 0; // a mark does not reach beyond its last sign
    if (end) quote.append(element("mark", run.slice(0, end)));
    quote.append(run.slice(end));
  };
  for (const word of words) {
    if (word.part !== part) continue;
    const now = Boolean(word.differs && word.key);
    if (now !== differs && word.key) {
      flush();
      [run, differs] = ["", now];
    }
    run += word.whole;
  }
  flush();
  return quote;
}

function side(title, words, id) {
  const made = element("section");
  made.append(element("h4", title), marked(words, 0), element("p", "Answer", "note"));
  made.append(marked(words, 1, "answer"), element("code", id));
  return made;
}

function article([item, example, cosine, overlap, label, by]) {
  const [itemId, benchmark, asked, answer] = data.items[item];
  const [exampleId, source, request, said] = data.examples[example];
  const [left, right] = [split([asked, answer]), split([request, said])];
  compare(left, right);
  const made = element("article");
  const heading = element("h3");
  const shared = overlap ? `, ${Math.round(100 * overlap)} % of its n-grams` : "";
  heading.append(element("b", `Cosine ${cosine.toFixed(3)}`), ` · ${data.labels[label]} · ${data.found[by]}${shared}`);
  const sides = element("div", undefined, "sides");
  sides.append(
    side(`Evaluation · ${data.benchmarks[benchmark]}`, left, itemId),
    side(`Training · ${data.sources[source]}`, right, exampleId),
  );
  made.append(heading, sides);
  return made;
}

const searched = { items: [], examples: [] };
function contains(kind, row, words) {
  const text = (searched[kind][row] ??= data[kind][row].slice(2).join("\n").toLowerCase());
  return text.includes(words);
}

function apply() {
  const chosen = Object.fromEntries(new FormData(form));
  const is = (name, value) => !chosen[name] || Number(chosen[name]) === value;
  const low = chosen.low === "" ? -2 : Number(chosen.low);
  const high = chosen.high === "" ? 2 : Number(chosen.high);
  const words = chosen.words.trim().toLowerCase();
  found = data.pairs.filter(
    ([item, example, cosine, , label, by, flagged]) =>
      is("benchmark", data.items[item][1]) && is("source", data.examples[example][1]) && is("label", label) &&
      is("found", by) && is("flagged", flagged) && cosine >= low && cosine <= high &&
      (!words || contains("items", item, words) || contains("examples", example, words)),
  );
  if (chosen.order === "1") found.reverse();
  list.classList.toggle("unmarked", !chosen.marks);
  show(0);
}

function show(wanted) {
  const size = Number(form.elements.size.value);
  const last = Math.max(0, Math.ceil(found.length / size) - 1);
  page = Math.min(Math.max(0, wanted), last);
  const rows = found.slice(page * size, (page + 1) * size);
  list.replaceChildren(...rows.map(article));
  const count = (number) => number.toLocaleString("en");
  const which = rows.length ? `: ${count(page * size + 1)} to ${count(page * size + rows.length)}` : "";
  status.textContent = `${count(found.length)} of ${count(data.pairs.length)} pairs${chosenFilters()}${which}`;
  pageInput.value = page + 1;
  pageInput.max = last + 1;
  document.getElementById("pages").textContent = `of ${last + 1}`;
  document.getElementById("previous").disabled = page === 0;
  document.getElementById("next").disabled = page === last;
}

function turn(wanted) {
  show(wanted);
  status.scrollIntoView();
  status.focus();
}

// Said with the number of pairs, for those who do not see the filters: in print, or by a screen reader.
function chosenFilters() {
  const { benchmark, source, label, found: by, flagged, low, high, words } = form.elements;
  const chosen = [benchmark, source, label, by].filter((select) => select.value).map((s) => s.selectedOptions[0].text);
  if (flagged.value) chosen.push(flagged.value === "1" ? "flagged" : "not flagged");
  if (low.value) chosen.push(`cosine from ${low.value}`);
  if (high.value) chosen.push(`cosine to ${high.value}`);
  if (words.value.trim()) chosen.push(`“${words.value.trim()}”`);
  return chosen.length ? ` (${chosen.join(", ")})` : "";
}

let waiting;
form.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(apply, 120);
});
form.addEventListener("reset", () => setTimeout(apply));
form.addEventListener("submit", (event) => event.preventDefault());
document.getElementById("previous").addEventListener("click", () => turn(page - 1));
document.getElementById("next").addEventListener("click", () => turn(page + 1));
pageInput.addEventListener("change", () => turn(Number(pageInput.value) - 1));
apply();
