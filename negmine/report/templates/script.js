"use strict";
(() => {
  const data = JSON.parse(document.getElementById("run-data").textContent);
  const { queries, passages, reasons, sources, wanted } = data;
  const PAGE = 50;
  const by = (id) => document.getElementById(id);
  const body = by("rows"), search = by("search"), deep = by("deep"), show = by("show"), sort = by("sort");
  let found = [], rendered = 0;

  const plain = (text) => text.normalize("NFKC").toLowerCase();
  const fixed = (value) => (value === null ? "-" : value.toFixed(3));
  const percent = (value) => (value === null ? "-" : (100 * value).toFixed(1) + "%");

  function element(name, properties = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (key in made && key !== "role") made[key] = value;
      else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  // Numbers by which queries are sorted, and texts in which they are searched.
  for (const query of queries) {
    const kept = query.candidates.filter((row) => row[6] !== null && row[3] !== null);
    const risks = kept.map((row) => row[5]).filter((risk) => risk !== null);
    query.hardest = kept.length ? Math.max(...kept.map((row) => row[3])) : null;
    query.risk = risks.length ? Math.max(...risks) : null;
    query.has = new Set(query.counts.map(([reason]) => reasons[reason][0]));
    query.findings = query.positives.flatMap((row) => row[3]);
    query.own = plain(query.id + " " + query.text);
  }
  let passageTexts = null;
  function searched(query) {
    if (!deep.checked) return query.own;
    passageTexts ??= passages.map(([id, text]) => plain(id + " " + text));
    query.all ??= [query.own, ...new Set([...query.positives, ...query.candidates].map((row) => row[0]))]
      .map((entry) => (typeof entry === "number" ? passageTexts[entry] : entry)).join("\n");
    return query.all;
  }

  function admits(query, choice) {
    if (choice === "all") return true;
    if (choice === "complete") return query.kept >= wanted;
    if (choice === "fewer") return query.kept < wanted;
    if (choice === "none") return query.kept === 0;
    const [kind, name] = choice.split(":");
    if (kind === "why") return query.why.includes(name);
    if (kind === "finding") return query.findings.includes(name);
    return query.has.has(name);
  }

  const last = (value) => (value === null ? -Infinity : value);
  const ORDERS = {
    run: (a, b) => a.n - b.n,
    hardest: (a, b) => last(b.hardest) - last(a.hardest),
    risk: (a, b) => last(b.risk) - last(a.risk),
    reference: (a, b) => a.reference - b.reference,
    kept: (a, b) => a.kept - b.kept,
  };

  function update() {
    const terms = plain(search.value).split(/\s+/).filter(Boolean);
    found = queries.filter((query) => admits(query, show.value) && terms.every((term) => searched(query).includes(term)));
    found.sort((a, b) => ORDERS[sort.value](a, b) || a.n - b.n);
    body.replaceChildren();
    rendered = 0;
    more();
    by("found").textContent = found.length.toLocaleString("en") + " of " + queries.length.toLocaleString("en")
      + " queries on this page" + (found.length === queries.length ? "" : " match");
  }

  function more() {
    body.append(...found.slice(rendered, rendered + PAGE).map(row));
    rendered = Math.min(rendered + PAGE, found.length);
    by("more").hidden = rendered >= found.length;
  }

  function cell(label, value) {
    return element("td", { className: "number", role: "cell", "data-label": label }, value);
  }

  function row(query) {
    const button = element("button", { type: "button", dir: "auto", "aria-expanded": "false" }, query.text || "(no text)");
    const tags = query.why.map((name) => element("span", { className: "tag" }, name));
    const line = element("tr", { className: "row", role: "row" },
      element("th", { scope: "row", role: "rowheader" }, button, element("span", { className: "id muted" }, query.id), " ", ...tags),
      cell("negatives", query.kept + " of " + wanted),
      cell("hardest", fixed(query.hardest)),
      cell("reference", fixed(query.reference)),
      cell("highest risk", percent(query.risk)));
    line.query = query;
    line.addEventListener("click", (event) => {
      if (event.target === button || !String(getSelection())) toggle(line);
    });
    return line;
  }

  function toggle(line, open = line.querySelector("button").getAttribute("aria-expanded") !== "true") {
    const button = line.querySelector("button");
    if (open === (button.getAttribute("aria-expanded") === "true")) return;
    button.setAttribute("aria-expanded", String(open));
    if (!open) {
      line.nextSibling.remove();
      return;
    }
    const inside = element("td", { colSpan: 5, role: "cell" }, ...details(line.query));
    line.after(element("tr", { className: "opened", role: "row" }, inside));
  }

  function marked(text, marks) {
    const pieces = [];
    let at = 0;
    for (let i = 0; i < marks.length; i += 2) {
      pieces.push(text.slice(at, marks[i]), element("mark", {}, text.slice(marks[i], marks[i] + marks[i + 1])));
      at = marks[i] + marks[i + 1];
    }
    return element("p", { className: "text", dir: "auto" }, ...pieces, text.slice(at));
  }

  function item(kind, facts, passage, marks) {
    const shown = facts.filter(([, value]) => value !== "" && value !== null && value !== "-");
    const line = element("div", { className: "facts" },
      element("span", { className: "id" }, passages[passage][0]),
      ...shown.map(([name, value]) => element("span", {}, name ? name + " " : "", element("b", {}, String(value)))));
    return element("div", { className: "item " + kind }, line, marked(passages[passage][1], marks));
  }

  function details(query) {
    const kept = query.candidates.filter((row) => row[6] !== null);
    const dropped = query.candidates.filter((row) => row[6] === null);
    const parts = [];
    if (query.also) parts.push(element("p", { className: "muted" }, "Ids of queries with the same text: " + query.also + " more."));
    parts.push(element("h3", {}, query.positives.length === 1 ? "Positive" : "Positives (" + query.positives.length + ")"));
    for (const [passage, score, rank, findings, marks] of query.positives) {
      const facts = [["score", fixed(score)], ["rank", rank === null ? "deeper than was searched" : rank], ["", findings.join(", ")]];
      parts.push(item("positive", facts, passage, marks));
    }
    parts.push(element("h3", {}, "Negatives (" + kept.length + ")"));
    for (const each of kept) parts.push(candidate(query, each, "kept", ["", each[6] + "."]));
    if (!kept.length) parts.push(element("p", {}, "None."));
    const all = query.counts.filter(([reason]) => !["kept", "positive"].includes(reasons[reason][0]));
    const total = all.reduce((sum, [, count]) => sum + count, 0);
    parts.push(element("h3", {}, "Dropped (" + dropped.length + " of " + total + " shown)"));
    if (total) {
      const list = element("ul", {});
      for (const [reason, count] of all) {
        const [name, words] = reasons[reason];
        list.append(element("li", {}, element("code", {}, name), " " + count + ": " + words));
      }
      parts.push(list);
    }
    for (const each of dropped) parts.push(candidate(query, each, "dropped", ["", reasons[each[1]][0]]));
    return parts;
  }

  function candidate(query, [passage, , rank, score, similarity, risk, , source, marks], kind, first) {
    const margin = score === null ? null : query.reference - score;
    const facts = [first, ["score", fixed(score)], ["margin", fixed(margin)], ["to positive", fixed(similarity)],
      ["risk", percent(risk)], ["rank", rank], ["by", sources[source]]];
    return item(kind, facts, passage, marks);
  }

  function openNamed() {
    if (!location.hash.startsWith("#q=")) return;
    const id = decodeURIComponent(location.hash.slice(3));
    if (!queries.some((query) => query.id === id)) return;
    if (!found.some((query) => query.id === id)) {
      search.value = "";
      show.value = "all";
      update();
    }
    const place = found.findIndex((query) => query.id === id);
    while (rendered <= place) more();
    const line = [...body.querySelectorAll("tr.row")].find((each) => each.query.id === id);
    toggle(line, true);
    line.querySelector("button").focus();
    line.scrollIntoView();
  }

  search.addEventListener("input", update);
  for (const control of [deep, show, sort]) control.addEventListener("change", update);
  by("more").addEventListener("click", () => {
    const first = rendered;
    more();
    body.querySelectorAll("tr.row button")[first]?.focus();
  });
  by("controls").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", openNamed);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.target.closest("input, select, textarea")) {
      event.preventDefault();
      search.focus();
      search.select();
    }
    const line = event.target.closest?.("tr.row");
    if (line && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      const buttons = [...body.querySelectorAll("tr.row button")];
      const next = buttons[buttons.indexOf(line.querySelector("button")) + (event.key === "ArrowDown" ? 1 : -1)];
      if (next) {
        event.preventDefault();
        next.focus();
      }
    }
  });
  update();
  openNamed();
})();
