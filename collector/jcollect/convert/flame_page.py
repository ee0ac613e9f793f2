"""A flame graph as one HTML page, which loads nothing: zoom by click, search, and a line about each frame.

Names come from the traced program. They are in a block of JSON in which no `<` is left, and the script shows
them as text alone; the page's policy forbids everything that it does not need.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import BinaryIO

from jcollect.convert.stack_sums import Sum

# Nodes of the page. Beyond, the ones with the least weight are left out: they would be narrower than a pixel.
MOST_NODES = 100_000

_HEAD = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>%(title)s</title>
<style>
body { font: 13px system-ui, sans-serif; margin: 12px; color: #222; background: #fff }
header { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin-bottom: 8px }
h1 { font-size: 15px; margin: 0 auto 0 0 }
button, input { font: inherit; padding: 2px 8px }
#graph { position: relative; overflow: hidden }
.frame { position: absolute; height: 17px; line-height: 17px; box-sizing: border-box; overflow: hidden;
  white-space: nowrap; text-overflow: ellipsis; padding: 0 3px; border: 1px solid #fff; border-radius: 3px;
  cursor: pointer; color: #222 }
.frame:hover, .frame:focus { border-color: #222; outline: none }
.frame.above { opacity: .5 }
.frame.found { background: #d050d0 !important; color: #fff }
#about { min-height: 36px; margin-top: 8px; overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) {
  body { background: #1b1b1b; color: #ddd } .frame { border-color: #1b1b1b }
  .frame:hover, .frame:focus { border-color: #ddd }
}
</style>
<header><h1>%(title)s</h1>
<input id="search" type="search" placeholder="search" aria-label="search">
<button id="weight"></button><button id="reset">reset zoom</button></header>
<div id="graph" role="tree"></div>
<div id="about" aria-live="polite"></div>
<script type="application/json" id="data">"""

_SCRIPT = r"""</script>
<script>
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const graph = document.getElementById('graph'), about = document.getElementById('about');
const search = document.getElementById('search'), toggle = document.getElementById('weight');
const HEIGHT = 18, LEAST = 0.6;
const nodes = data.nodes.map(([parent, name, nanos, calls]) =>
  ({parent, name: data.names[name], weights: [nanos, calls], children: [], depth: 0}));
nodes.forEach((node, i) => {
  if (i) { node.depth = nodes[node.parent].depth + 1; nodes[node.parent].children.push(node); }
});
nodes.forEach(node => node.children.sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
let by = data.by, zoomed = nodes[0];

function time(nanos) {
  for (const [unit, size] of [['s', 1e9], ['ms', 1e6], ['us', 1e3]])
    if (nanos >= size) return (nanos / size).toPrecision(3) + ' ' + unit;
  return nanos + ' ns';
}
function describe(node) {
  const share = 100 * node.weights[by] / (nodes[0].weights[by] || 1);
  return node.name + ': ' + time(node.weights[0]) + ', ' + node.weights[1].toLocaleString('en') +
    (node.weights[1] === 1 ? ' call, ' : ' calls, ') + share.toFixed(1) + '%';
}
function color(name) {
  let hash = 0;
  const own = name.replace(/\.[^.]*$/, '');
  for (let i = 0; i < own.length; i++) hash = (hash * 31 + own.charCodeAt(i)) | 0;
  return 'hsl(' + (Math.abs(hash) % 55) + ' 85% ' + (62 + Math.abs(hash >> 8) % 12) + '%)';
}
function short(name) {
  return name.replace(/^(?:[^.(]+\.)+(?=[^.(]+\.[^.(]+(?:\(|$))/, '');
}
function matches(node) {
  return search.value !== '' && node.name.toLowerCase().includes(search.value.toLowerCase());
}
function draw() {
  const width = graph.clientWidth, parts = document.createDocumentFragment();
  let deepest = 0, found = 0;
  function put(node, left, size, isAbove) {
    if (size < LEAST) return;
    deepest = Math.max(deepest, node.depth);
    const frame = document.createElement('div');
    frame.className = 'frame' + (isAbove ? ' above' : '') + (matches(node) ? ' found' : '');
    frame.style.left = left + 'px';
    frame.style.width = size + 'px';
    frame.style.top = node.depth * HEIGHT + 'px';
    frame.style.background = color(node.name);
    frame.title = describe(node);
    frame.tabIndex = 0;
    frame.setAttribute('role', 'treeitem');
    if (size > 24) frame.textContent = size < 7 * node.name.length ? short(node.name) : node.name;
    frame.addEventListener('click', () => { zoomed = node; draw(); });
    frame.addEventListener('keydown', event => { if (event.key === 'Enter') frame.click(); });
    frame.addEventListener('mouseenter', () => { about.textContent = describe(node); });
    parts.append(frame);
  }
  const path = [];
  for (let node = zoomed; node !== nodes[0]; node = nodes[node.parent]) path.push(nodes[node.parent]);
  path.forEach(node => put(node, 0, width, true));
  const waiting = [[zoomed, 0, width]];
  while (waiting.length) {
    const [node, left, size] = waiting.pop();
    put(node, left, size, false);
    let at = left;
    for (const child of node.children) {
      const part = size * child.weights[by] / (node.weights[by] || 1);
      if (part >= LEAST) waiting.push([child, at, part]);
      at += part;
    }
  }
  graph.replaceChildren(parts);
  graph.style.height = (deepest + 1) * HEIGHT + 'px';
  toggle.textContent = by === 0 ? 'show calls' : 'show time';
  if (search.value !== '') {
    const seen = nodes.filter(node => {
      if (!matches(node)) return false;
      for (let up = node; up !== nodes[0];) { up = nodes[up.parent]; if (matches(up)) return false; }
      return true;
    });
    found = seen.reduce((sum, node) => sum + node.weights[by], 0);
    about.textContent = 'found in ' + (100 * found / (nodes[0].weights[by] || 1)).toFixed(1) + '%';
  } else {
    about.textContent = describe(zoomed);
  }
}
search.addEventListener('input', draw);
toggle.addEventListener('click', () => { by = 1 - by; draw(); });
document.getElementById('reset').addEventListener('click', () => { zoomed = nodes[0]; draw(); });
window.addEventListener('resize', draw);
draw();
</script>
</html>
"""


class _Node:
    """A frame below its callers, with all that it has called."""

    __slots__ = ("calls", "children", "nanos")

    def __init__(self) -> None:
        self.calls = self.nanos = 0
        self.children: dict[str, _Node] = {}


def write_page(sums: Mapping[tuple[str, ...], Sum], title: str, by_time: bool, out: BinaryIO) -> None:
    """Writes the page. `sums` are by stack, the outermost frame first."""
    root = _tree(sums)
    names: dict[str, int] = {}
    nodes: list[tuple[int, int, int, int]] = []
    least = _least(root, by_time)
    waiting = [(0, "all", root)]
    while waiting:
        parent, name, node = waiting.pop()
        number = len(nodes)
        nodes.append((parent, names.setdefault(name, len(names)), node.nanos, node.calls))
        waiting += [
            (number, each, child)
            for each, child in node.children.items()
            if (child.nanos if by_time else child.calls) >= least
        ]
    content = json.dumps(
        {"by": 0 if by_time else 1, "names": list(names), "nodes": nodes}, separators=(",", ":")
    )
    # In HTML, a script ends at the next `</script`, whatever JSON says.
    safe = content.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    out.write((_HEAD % {"title": html.escape(title)}).encode(errors="replace"))
    out.write(safe.encode(errors="replace"))
    out.write(_SCRIPT.encode())


def _tree(sums: Mapping[tuple[str, ...], Sum]) -> _Node:
    root = _Node()
    for stack, found in sums.items():
        node = root
        for name in (None, *stack):
            if name is not None:
                node = node.children.setdefault(name, _Node())
            node.calls += found.calls
            node.nanos += found.nanos
    return root


def _least(root: _Node, by_time: bool) -> int:
    """Returns the least weight of a node so that at most MOST_NODES are left."""
    weights = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        weights.append(node.nanos if by_time else node.calls)
        waiting += node.children.values()
    if len(weights) <= MOST_NODES:
        return 0
    weights.sort(reverse=True)
    return weights[MOST_NODES - 1] + 1
