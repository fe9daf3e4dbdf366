"""No file of core/src and core/tools includes one of a folder that stands above its own in core/src/order.txt."""
import pathlib
import re

root = pathlib.Path(__file__).parents[2]
source = root / "core" / "src"
quoted = re.compile(r'^\s*#include "([^"]+)"', re.MULTILINE)


def read_order(text):
    """Folder -> folders that it may include."""
    below = {}
    for line in text.splitlines():
        chain = [] if line.startswith("#") else line.split(" -> ")
        for folder in chain:
            below.setdefault(folder, {folder})
        for lower, upper in zip(chain, chain[1:]):
            below[upper].add(lower)
    for _ in below:  # arrows of arrows
        for folder in below:
            below[folder] = below[folder].union(*(below[lower] for lower in below[folder]))
    return below


def includes(below):
    """(file, its folder, the folder of what it includes, the include) of all quoted includes."""
    for top in (source, root / "core" / "tools"):
        for file in sorted(top.rglob("*")):
            if file.suffix not in (".h", ".cpp", ".cu"):
                continue
            folder = file.relative_to(source).parts[0] if top == source else "tools"
            for path in quoted.findall(file.read_text()):
                first = path.split("/")[0]
                if "/" in path and (first in below or (source / first).is_dir()):
                    yield file.relative_to(root), folder, first, path


def self_test():
    below = read_order("# note\na -> b -> c\nb -> d")
    assert below == {"a": {"a"}, "b": {"a", "b"}, "c": {"a", "b", "c"}, "d": {"a", "b", "d"}}


self_test()
order = read_order((source / "order.txt").read_text())
mistakes = [f"core/src/{folder.name}: not in core/src/order.txt" for folder in sorted(source.iterdir())
            if folder.is_dir() and any(folder.iterdir()) and folder.name not in order]
count = 0
for file, folder, other, path in includes(order):
    count += 1
    if other not in order.get(folder, ()):
        mistakes.append(f'{file}: includes "{path}", but {other} is not below {folder} (core/src/order.txt)')
print(*mistakes, f"{count} includes, {len(mistakes)} against the order", sep="\n")
raise SystemExit(bool(mistakes) or count == 0)
