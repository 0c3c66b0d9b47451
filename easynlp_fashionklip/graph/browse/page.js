"use strict";
// The concept tree along primary parents. Only the rows in view are in the document; #q=words searches and
// #c=phrase shows a concept, so that an address can be passed on.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { phrases, surfaces, heads, head, frequency, parents, prototypes, imageIds, images } = data;
  const ROW = 52, SPARE = 6, INDENT = 20, STRIP = 4, LISTED = 40;
  const element = (id) => document.getElementById(id);
  const tree = element("tree"), search = element("search"), detail = element("detail"), status = element("status");
  const number = new Intl.NumberFormat("en");

  // ---- the graph

  const fold = (text) => text.normalize("NFKC").toLowerCase().replace(/[\s\u2010-\u2015-]+/g, " ").trim();
  const folded = phrases.map((phrase, id) => fold(`${phrase} ${surfaces[id] ?? ""}`));
  const idOf = new Map(phrases.map((phrase, id) => [phrase, id]));
  const before = (a, b) => frequency[b] - frequency[a] || (phrases[a] < phrases[b] ? -1 : 1);
  const byFrequency = phrases.map((_, id) => id).sort(before);
  const kinds = phrases.map(() => []), allKinds = phrases.map(() => []), roots = [];
  for (const id of byFrequency) {
    (parents[id].length ? kinds[parents[id][0]] : roots).push(id);
    for (const parent of parents[id]) allKinds[parent].push(id);
  }
  const siblings = (id) => (parents[id].length ? kinds[parents[id][0]] : roots);

  function pathOf(id) {
    const path = [];
    for (let above = parents[id][0]; above !== undefined; above = parents[above][0]) path.unshift(above);
    return path;
  }

  // ---- state

  const open = new Set();
  let words = [];      // of the search; empty: the tree is shown
  let rows = [];       // concept ids from top to bottom, open ones with what is below them
  let place = new Map(); // row of a concept
  let current = null;  // the chosen concept

  function setRows(ids) {
    rows = ids;
    place = new Map(ids.map((id, row) => [id, row]));
    canvas.style.height = `${rows.length * ROW}px`;
    const total = `${number.format(phrases.length)} concepts`;
    status.textContent = words.length ? `${number.format(rows.length)} of ${total} match` : total;
    draw();
  }

  function treeRows() {
    const found = [], waiting = [...roots].reverse();
    while (waiting.length) {
      const id = waiting.pop();
      found.push(id);
      if (open.has(id)) for (let i = kinds[id].length - 1; i >= 0; i--) waiting.push(kinds[id][i]);
    }
    return found;
  }

  function matches() {
    const wanted = words.join(" ");
    const rank = (id) => {
      const name = fold(phrases[id]);
      return name === wanted ? 0 : name.startsWith(wanted) ? 1 : 2;
    };
    const found = byFrequency.filter((id) => words.every((word) => folded[id].includes(word)));
    return found.map((id) => [rank(id), id]).sort((a, b) => a[0] - b[0]).map((pair) => pair[1]);
  }

  function refresh() {
    clearRows();
    setRows(words.length ? matches() : treeRows());
  }

  function runSearch() {
    words = search.value.split(/\s+/).map(fold).filter(Boolean); // t-shirt is one word, t shirt two
    tree.scrollTop = 0;
    refresh();
    remember();
  }

  function setOpen(id, wanted) {
    if (!kinds[id].length || open.has(id) === wanted || words.length) return;
    if (wanted) open.add(id); else open.delete(id);
    setRows(treeRows());
  }

  function choose(id) {
    current = id;
    showDetail(id);
    const top = (place.get(id) ?? NaN) * ROW; // not a row when an ancestor is closed
    if (top < tree.scrollTop) tree.scrollTop = top;
    else if (top + ROW > tree.scrollTop + tree.clientHeight) tree.scrollTop = top + ROW - tree.clientHeight;
    draw();
    remember();
  }

  function reveal(id) {
    search.value = "";
    words = [];
    for (const above of pathOf(id)) open.add(above);
    refresh();
    tree.scrollTop = place.get(id) * ROW - tree.clientHeight / 2;
    choose(id);
  }

  // ---- the address

  let remembering;
  function remember() {
    clearTimeout(remembering);
    remembering = setTimeout(writeAddress, 400); // browsers limit how often an address may change
  }

  function writeAddress() {
    const parts = new URLSearchParams();
    if (words.length) parts.set("q", search.value.trim());
    if (current !== null) parts.set("c", phrases[current]);
    history.replaceState(null, "", `#${parts}`);
  }

  function readAddress() {
    const parts = new URLSearchParams(location.hash.slice(1));
    const id = idOf.get(parts.get("c") ?? "");
    if (id !== undefined) reveal(id);
    if (parts.get("q")) {
      search.value = parts.get("q");
      runSearch();
    } else if (id === undefined) {
      search.value = "";
      words = [];
      refresh();
    }
  }

  // ---- rows in view

  const canvas = document.createElement("div");
  canvas.setAttribute("role", "presentation");
  canvas.style.position = "relative";
  tree.append(canvas);
  const shown = new Map();

  function clearRows() {
    canvas.replaceChildren();
    shown.clear();
  }

  function draw() {
    const first = Math.max(0, Math.floor(tree.scrollTop / ROW) - SPARE);
    const last = Math.min(rows.length, Math.ceil((tree.scrollTop + tree.clientHeight) / ROW) + SPARE);
    const wanted = rows.slice(first, last);
    const same = wanted.length === shown.size && wanted.every((id) => shown.has(id));
    const made = wanted.map((id) => shown.get(id) ?? makeRow(id));
    shown.clear();
    wanted.forEach((id, i) => {
      shown.set(id, made[i]);
      made[i].style.top = `${(first + i) * ROW}px`;
      made[i].setAttribute("aria-selected", String(id === current));
      if (kinds[id].length && !words.length) made[i].setAttribute("aria-expanded", String(open.has(id)));
    });
    if (!same) canvas.replaceChildren(...made);
    if (current !== null && shown.has(current)) tree.setAttribute("aria-activedescendant", `row${current}`);
    else tree.removeAttribute("aria-activedescendant");
  }

  function make(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function picture(index) {
    const image = make("img");
    image.alt = `picture ${imageIds[index]}`;
    image.src = `data:image/jpeg;base64,${images[index]}`;
    return image;
  }

  function makeRow(id) {
    const row = make("div", "row"), path = pathOf(id), own = siblings(id);
    row.id = `row${id}`;
    row.dataset.concept = id;
    row.setAttribute("role", "treeitem");
    row.setAttribute("aria-level", words.length ? 1 : path.length + 1);
    row.setAttribute("aria-setsize", words.length ? rows.length : own.length);
    row.setAttribute("aria-posinset", (words.length ? place.get(id) : own.indexOf(id)) + 1);
    row.style.paddingLeft = `${8 + (words.length ? 0 : path.length * INDENT)}px`;
    const toggle = make("button", kinds[id].length && !words.length ? "toggle" : "toggle none");
    toggle.type = "button";
    toggle.tabIndex = -1;
    toggle.setAttribute("aria-hidden", "true");
    const label = make("div", "label"), name = make("span", "phrase");
    name.dir = "auto";
    highlight(name, phrases[id]);
    label.append(name);
    if (words.length && path.length) label.append(make("span", "note", path.map((one) => phrases[one]).join(" \u203a ")));
    const strip = make("div", "strip");
    const pictured = prototypes[id].filter(([index]) => images[index]).slice(0, STRIP);
    strip.append(...pictured.map(([index]) => picture(index)));
    row.append(toggle, label, strip, make("span", "count", number.format(frequency[id])));
    return row;
  }

  function highlight(target, text) {
    const blank = "[\\s\\u2010-\\u2015-]+"; // fold() made a blank of each hyphen
    const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll(" ", blank));
    const parts = words.length ? text.split(new RegExp(`(${escaped.join("|")})`, "iu")) : [text];
    target.append(...parts.map((part, i) => (i % 2 ? make("mark", "", part) : part)));
  }

  // ---- the chosen concept

  function links(ids) {
    const list = make("div", "links");
    for (const id of ids.slice(0, LISTED)) list.append(link(id, `${phrases[id]} \u00b7 ${number.format(frequency[id])}`));
    if (ids.length > LISTED) list.append(make("span", "note", `and ${number.format(ids.length - LISTED)} more`));
    return list;
  }

  function link(id, text) {
    const button = make("button", "", text);
    button.type = "button";
    button.dataset.concept = id;
    return button;
  }

  function showDetail(id) {
    const path = make("div", "note path");
    pathOf(id).forEach((above) => path.append(link(above, phrases[above]), " \u203a "));
    const title = make("h2", "", phrases[id]);
    title.dir = "auto";
    const facts = [`${number.format(frequency[id])} products`, `head noun: ${heads[head[id]]}`];
    if (surfaces[id] !== undefined) facts.push(`mostly written: ${surfaces[id]}`);
    detail.replaceChildren(path, title, make("p", "note", facts.join(" \u00b7 ")));
    const others = parents[id].slice(1);
    if (others.length) detail.append(make("h3", "", "Also a kind of"), links(others));
    if (prototypes[id].length) {
      const grid = make("div", "pictures");
      for (const [index, similarity] of prototypes[id]) {
        const figure = make("figure"), caption = make("figcaption", "", `${(similarity / 1000).toFixed(3)} ${imageIds[index]}`);
        if (images[index]) figure.append(picture(index));
        figure.append(caption);
        grid.append(figure);
      }
      detail.append(make("h3", "", "Prototypes, with similarity to the prompt"), grid);
    }
    if (allKinds[id].length) detail.append(make("h3", "", `Kinds (${number.format(allKinds[id].length)})`), links(allKinds[id]));
  }

  // ---- events

  function step(by) {
    if (!rows.length) return;
    const row = current === null || !place.has(current) ? -1 : place.get(current);
    choose(rows[Math.min(rows.length - 1, Math.max(0, row < 0 ? 0 : row + by))]);
  }

  const page = () => Math.max(1, Math.floor(tree.clientHeight / ROW) - 1);
  const keys = {
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    PageDown: () => step(page()),
    PageUp: () => step(-page()),
    Home: () => { if (rows.length) choose(rows[0]); },
    End: () => { if (rows.length) choose(rows[rows.length - 1]); },
    Enter: () => { if (current !== null) { if (words.length) reveal(current); else setOpen(current, !open.has(current)); } },
    ArrowRight: () => {
      if (current === null || words.length || !kinds[current].length) return;
      if (open.has(current)) choose(kinds[current][0]); else setOpen(current, true);
    },
    ArrowLeft: () => {
      if (current === null || words.length) return;
      if (open.has(current)) setOpen(current, false);
      else if (parents[current].length) choose(parents[current][0]);
    },
  };
  tree.addEventListener("keydown", (event) => {
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (plain && Object.hasOwn(keys, event.key)) {
      keys[event.key]();
      event.preventDefault();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search) {
      search.focus();
      event.preventDefault();
    }
  });
  search.addEventListener("input", runSearch);
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") {
      tree.focus();
      if (rows.length) choose(rows[0]);
      event.preventDefault();
    } else if (event.key === "Escape") {
      search.value = "";
      runSearch();
    }
  });
  tree.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (!row) return;
    const id = Number(row.dataset.concept);
    if (event.target.closest(".toggle")) setOpen(id, !open.has(id)); else choose(id);
    tree.focus();
  });
  tree.addEventListener("dblclick", (event) => {
    const row = event.target.closest(".row");
    if (!row || event.target.closest(".toggle")) return;
    const id = Number(row.dataset.concept);
    if (words.length) reveal(id); else setOpen(id, !open.has(id));
  });
  detail.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-concept]");
    if (button) reveal(Number(button.dataset.concept));
  });
  element("expand").addEventListener("click", () => {
    kinds.forEach((own, id) => { if (own.length) open.add(id); });
    if (!words.length) setRows(treeRows());
  });
  element("collapse").addEventListener("click", () => {
    open.clear();
    if (!words.length) setRows(treeRows());
  });
  let drawing = false;
  const drawSoon = () => {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => { drawing = false; draw(); });
  };
  tree.addEventListener("scroll", drawSoon);
  new ResizeObserver(drawSoon).observe(tree);
  addEventListener("hashchange", readAddress);

  element("name").textContent = data.name;
  document.title = `${data.name}: concept graph`;
  element("remark").textContent = data.remark;
  element("remark").hidden = !data.remark;
  readAddress();
})();
