// Pages by the address's hash, tables that sort, filter and export, light and dark.
// Written here instead of taking DataTables (some 300 KB with jQuery): no library for this comes
// with the package, and every report would carry it. Without JavaScript every page is shown, one
// after another, and nothing is missing but sorting, filtering and export.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");

  // --- light and dark ---------------------------------------------------------------------
  // A file opened from disk may not be allowed to remember anything.
  const remembered = () => { try { return localStorage.getItem("lossless-inr-theme"); } catch { return null; } };
  const remember = (name) => { try { localStorage.setItem("lossless-inr-theme", name); } catch { /* not kept */ } };
  function useTheme(name) {
    const chosen = name === "light" || name === "dark" ? name : "auto";
    if (chosen === "auto") delete root.dataset.theme; else root.dataset.theme = chosen;
    for (const button of document.querySelectorAll("button[data-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.choice === chosen));
    }
  }
  useTheme(remembered());

  // --- pages ------------------------------------------------------------------------------
  function show(scroll) {
    let id = location.hash.slice(1);
    try { id = decodeURIComponent(id); } catch { /* shown as written */ }
    const target = id ? document.getElementById(id) : null;
    const page = target?.closest(".page") ?? document.querySelector(".page");
    for (const one of document.querySelectorAll(".page")) one.classList.toggle("current", one === page);
    root.classList.add("routed");
    for (const link of document.querySelectorAll("nav a")) {
      if (link.hash === `#${page.id}`) {
        link.setAttribute("aria-current", "page");
        link.scrollIntoView({ block: "nearest", inline: "nearest" });
      } else link.removeAttribute("aria-current");
    }
    for (let one = target; one && one !== page; one = one.parentElement) {
      if (one.tagName === "DETAILS") one.open = true;
    }
    if (typeof scroll === "number") window.scrollTo(0, scroll);
    else if (target && target !== page) target.scrollIntoView();
    else window.scrollTo(0, 0);
  }

  // --- tables -----------------------------------------------------------------------------
  const PREFIX = { k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15 };
  // `6,000`, `∞`, `1.2e-05`, `6.29 GFLOP`, `2 of 3` (a share), `> 6000 (0 of 2)` (just above it).
  function numberIn(text) {
    const share = /^(\d+) of (\d+)/.exec(text);
    if (share) return Number(share[1]) / Number(share[2]);
    const found = /^([>≥<]\s*)?([+−-]?)(∞|\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)\s*([kMGTP](?=[A-Z]|\b))?/.exec(text);
    if (!found) return NaN;
    let value = found[3] === "∞" ? Infinity : Number(found[3].replaceAll(",", ""));
    value *= PREFIX[found[4]] ?? 1;
    if (found[2] === "-" || found[2] === "−") value = -value;
    if (!found[1] || !Number.isFinite(value)) return value;
    return value + (found[1][0] === "<" ? -1 : 1) * Math.max(Math.abs(value) * 1e-9, 1e-300);
  }
  // What stands in a cell as printed in the paper is another column; lists of fits are none.
  const own = (cell) => [...cell.childNodes]
    .filter((n) => !n.classList?.contains("print") && n.tagName !== "DETAILS")
    .map((n) => n.textContent).join("").replace(/\s+/g, " ").trim();
  const printed = (cell) => cell.querySelector(":scope > .print")?.textContent.trim() ?? "";
  function keyOf(cell) {
    if (!cell) return NaN;
    if (cell.dataset.v !== undefined) return cell.dataset.v === "" ? NaN : Number(cell.dataset.v);
    return numberIn(own(cell));
  }

  function sortBy(table, column, direction) {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, cell: row.cells[column] }));
    for (const one of rows) {
      one.text = one.cell ? own(one.cell) : "";
      one.key = keyOf(one.cell);
    }
    const filled = rows.filter((one) => one.text !== "" && one.text !== "–");
    const numeric = filled.filter((one) => !Number.isNaN(one.key)).length * 2 > filled.length;
    const missing = (one) => (numeric ? Number.isNaN(one.key) : one.text === "" || one.text === "–");
    rows.sort((a, b) => {
      if (missing(a) || missing(b)) return Number(missing(a)) - Number(missing(b));
      if (!numeric) return direction * a.text.localeCompare(b.text, "en", { numeric: true });
      return a.key === b.key ? 0 : direction * (a.key < b.key ? -1 : 1);
    });
    body.append(...rows.map((one) => one.row));
  }

  function csvOf(table) {
    const quoted = (text) => {
      // A spreadsheet would take a text that begins like this for a formula.
      const safe = /^[=@+\-\t]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
      return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    };
    const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
    const heads = [...table.tHead.rows[0].cells];
    const beside = heads.map((_, k) => rows.some((row) => row.cells[k] && printed(row.cells[k])));
    const spread = (cells, text, second) => cells.flatMap((cell, k) =>
      beside[k] ? [text(cell), second(cell)] : [text(cell)]).map(quoted).join(",");
    const first = spread(heads, (c) => c.textContent.trim(), (c) => `${c.textContent.trim()}, as printed`);
    return [first, ...rows.map((row) => spread([...row.cells], own, printed))].join("\r\n") + "\r\n";
  }

  function save(name, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function equip(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") === "ascending";
        for (const one of heads) one.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "descending" : "ascending");
        sortBy(table, column, up ? -1 : 1);
      });
    });
    const tools = document.createElement("div");
    const filter = document.createElement("input");
    const count = document.createElement("span");
    const csv = document.createElement("button");
    tools.className = "tools";
    Object.assign(filter, { type: "search", placeholder: "Filter rows" });
    filter.setAttribute("aria-label", "Filter rows");
    count.setAttribute("aria-live", "polite");
    Object.assign(csv, { type: "button", textContent: "CSV", title: "Save the rows shown, in this order" });
    csv.addEventListener("click", () => save(`${root.dataset.scale}-${table.dataset.name}.csv`, csvOf(table)));
    filter.addEventListener("input", () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      const rows = [...table.tBodies[0].rows];
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
      const shown = rows.filter((row) => !row.hidden).length;
      count.textContent = shown < rows.length ? `${shown} of ${rows.length} rows` : "";
    });
    if (table.tBodies[0].rows.length > 10) tools.append(filter, count);
    tools.append(csv);
    table.closest(".scroll").before(tools);
  }

  document.addEventListener("DOMContentLoaded", () => {
    useTheme(remembered());
    for (const button of document.querySelectorAll("button[data-choice]")) {
      button.addEventListener("click", () => { remember(button.dataset.choice); useTheme(button.dataset.choice); });
    }
    document.querySelectorAll("table[data-name]").forEach(equip);
    // Following a link keeps the place it was followed from, for the way back.
    history.scrollRestoration = "manual";
    document.addEventListener("click", (event) => {
      const link = event.target.closest?.('a[href^="#"]');
      if (!link) return;
      history.replaceState({ y: window.scrollY }, "");
      if (link.hash === location.hash) show();
    });
    window.addEventListener("popstate", (event) => show(event.state?.y));
    show();
  });
  // The browser's own jump to the hash comes last of all.
  window.addEventListener("load", () => show());
})();
