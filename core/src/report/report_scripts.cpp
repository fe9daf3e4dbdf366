#include <c10/util/StringUtil.h>

#include "report/html.h"
#include "report/report_assets.h"

namespace ivory::experiment {

const std::string_view report_script = R"js(
'use strict';
function sortable(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const status = document.getElementById('sorted');
  // Cells hold their number in data-value; text sorts by its letters; an empty cell is always last.
  const compare = (column, sign) => (a, b) => {
    const [x, y] = [a, b].map(row => row.cells[column]);
    if (column === 0) return sign * x.textContent.localeCompare(y.textContent, undefined, {numeric: true});
    const [u, v] = [x, y].map(cell => cell.dataset.value === undefined ? NaN : Number(cell.dataset.value));
    if (isNaN(u) || isNaN(v)) return isNaN(u) - isNaN(v);
    return sign * (u - v);
  };
  heads.forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute('aria-sort', 'none');
    const orders = column === 0 ? ['ascending', 'descending', 'none'] : ['descending', 'ascending', 'none'];
    button.addEventListener('click', () => {
      const order = orders[(orders.indexOf(head.getAttribute('aria-sort')) + 1) % 3];
      for (const other of heads) other.setAttribute('aria-sort', 'none');
      head.setAttribute('aria-sort', order);
      const rows = [...original];
      if (order !== 'none') rows.sort(compare(column, order === 'ascending' ? 1 : -1));
      body.append(...rows);
      status.textContent = order === 'none' ? 'Original order.' : `Sorted by ${button.textContent}, ${order}.`;
    });
  });
}
document.querySelectorAll('table.sortable').forEach(sortable);
)js";

std::string page_head(const std::string& title, bool asks_server) {
  return c10::str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
                  "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; ",
                  "style-src 'unsafe-inline'; script-src 'unsafe-inline'", asks_server ? "; connect-src 'self'" : "",
                  "\">\n", "<title>", html::escape(title), "</title>\n<style>", report_style,
                  "</style>\n</head>\n<body>\n");
}

// Order of a sorted table, open details and the focus outlive the exchange of a section.
constexpr std::string_view live_body = R"js(
const source = section => section.getAttribute('aria-labelledby');
const written = new Map([...document.querySelectorAll('main > section')].map(one => [source(one), one.outerHTML]));
const heads = table => [...table.tHead.rows[0].cells];
const reachable = root => [...root.querySelectorAll('a, button, summary, [tabindex]')];
function exchange(old, now) {
  const orders = [...old.querySelectorAll('table.sortable')].map(one => heads(one).map(head => head.ariaSort));
  const open = [...old.querySelectorAll('details')].map(one => one.open);
  const focus = reachable(old).indexOf(document.activeElement);
  old.replaceWith(now);
  now.querySelectorAll('details').forEach((one, i) => { one.open = open[i]; });
  now.querySelectorAll('table.sortable').forEach((table, i) => {
    sortable(table);
    heads(table).forEach((head, column) => {
      const order = orders[i]?.[column] ?? 'none';
      for (let press = 0; press < 2 && order !== 'none' && head.ariaSort !== order; ++press) {
        head.querySelector('button').click();
      }
    });
  });
  if (focus >= 0) reachable(now)[focus]?.focus({preventScroll: true});
}
function takeOver(page) {
  document.title = page.title;
  const [header, fresh] = ['header', 'header'].map((name, i) => (i ? page : document).querySelector(name));
  if (header.innerHTML !== fresh.innerHTML) exchange(header, document.adoptNode(fresh));
  const main = document.querySelector('main');
  const sections = [...page.querySelectorAll('main > section')];
  const names = new Set(sections.map(source));
  for (const old of [...main.children]) if (!names.has(source(old))) old.remove();
  sections.forEach((now, place) => {
    const text = now.outerHTML;
    const old = [...main.children].find(one => source(one) === source(now));
    if (!old) {
      main.insertBefore(document.adoptNode(now), main.children[place] ?? null);
      now.querySelectorAll('table.sortable').forEach(sortable);
    } else if (written.get(source(now)) !== text) {
      exchange(old, document.adoptNode(now));
    }
    written.set(source(now), text);
  });
}
const pause = document.getElementById('live');
const said = pause.nextElementSibling;
pause.addEventListener('click', () => {
  const paused = pause.getAttribute('aria-pressed') !== 'true';
  pause.setAttribute('aria-pressed', paused);
  said.textContent = paused ? 'Updates are paused.' : '';
});
async function look() {
  try {
    if (pause.getAttribute('aria-pressed') === 'true') return;
    const tag = await (await fetch('tag', {cache: 'no-store'})).text();
    if (tag === shown) return;
    const text = await (await fetch(location.pathname, {cache: 'no-store'})).text();
    takeOver(new DOMParser().parseFromString(text, 'text/html'));
    shown = tag;
    said.textContent = document.querySelector('.progress')?.textContent ?? '';
  } catch {
    said.textContent = 'The server has ended: this page does not change any more.';
  } finally {
    setTimeout(look, 2000);
  }
}
setTimeout(look, 2000);
)js";

std::string live_script(const std::string& tag) {
  return c10::str("\nlet shown = '", tag, "';", live_body);
}

}  // namespace ivory::experiment
