#!/usr/bin/env python3
"""paper_sums.py paper_tables.toml: of every table how many figures it has, the sums of their means and deviations, and
that of the means times their place (1, 2, … by row and column); golden numbers of paper_tables_test.cpp."""
import sys
import tomllib

with open(sys.argv[1], "rb") as file:
    tables = tomllib.load(file)
for number in range(3, 8):
    figures = {}
    for row in tables[f"table{number}"]["rows"]:
        for column, value in row.items():
            if not isinstance(value, str):
                figures[f"{row['method']} / {column}"] = value if isinstance(value, list) else [value]
    ordered = [figures[cell] for cell in sorted(figures)]
    means = sum(value[0] for value in ordered)
    deviations = sum(value[1] for value in ordered if len(value) > 1)
    weighted = sum(place * value[0] for place, value in enumerate(ordered, 1))
    print(f"{{{number}, {len(ordered)}, {means:.2f}, {deviations:.2f}, {weighted:.2f}}},")
