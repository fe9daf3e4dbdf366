"""docs/deviations.md: every row of a table with "shown by" names tests that exist, as `Suite.Name`."""
import pathlib
import re

root = pathlib.Path(__file__).parents[2]
declared = re.compile(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", re.MULTILINE)
tests = {".".join(found) for file in (root / "tests").rglob("*_test.cpp") for found in declared.findall(file.read_text())}
mistakes, checked = [], False
for number, line in enumerate((root / "docs" / "deviations.md").read_text().splitlines(), 1):
    if not line.startswith("|"):
        checked = False
        continue
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    if cells[-1] == "shown by":
        checked = True
    elif checked and not cells[-1].startswith("---"):
        names = re.findall(r"`(\w+\.\w+)`", cells[-1])
        mistakes += [f"{number}: '{cells[0]}' names no test"] * (not names)
        mistakes += [f"{number}: there is no test {name}" for name in names if name not in tests]
for mistake in mistakes:
    print(f"docs/deviations.md:{mistake}")
raise SystemExit(bool(mistakes) or not tests)
