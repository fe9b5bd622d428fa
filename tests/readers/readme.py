"""Runs the SQL and Python examples of README.md, in the repository's root after `make pipeline`.

    pip install duckdb polars
    python tests/readers/readme.py

Fails if an example fails, gives nothing, or if there is none.
"""
import re
from pathlib import Path

import duckdb

text = Path("README.md").read_text(encoding="utf-8")
blocks = re.findall(r"^```(sql|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
assert {language for language, _ in blocks} == {"sql", "python"}, blocks
for language, code in blocks:
    print(code.rstrip())
    if language == "sql":
        rows = duckdb.sql(code)
        assert len(rows) > 0, code
        print(rows)
    else:
        # The last line is an expression, as one would type it.
        *lines, last = code.rstrip().splitlines()
        names = {}
        exec("\n".join(lines), names)
        value = eval(last, names)
        assert len(value) > 0, code
        print(value)
