"""Opens every table of a run in DuckDB, Polars, pandas and Hugging Face `datasets`.

    pip install duckdb polars pandas pyarrow datasets pillow
    python tests/readers/read_all.py artifacts/eurosat

Says what each reader made of each table, and fails if two of them disagree on rows or columns.
"""
import sys
from pathlib import Path

import datasets
import duckdb
import pandas
import polars

datasets.disable_progress_bars()
view = Path(sys.argv[1])
tables = sorted(view.glob("*/*.parquet"))
assert tables, f"no table under {view}"
for table in tables:
    frame = pandas.read_parquet(table)
    relation = duckdb.sql(f"SELECT * FROM '{table}'")
    lazy = polars.read_parquet(table)
    shapes = {
        "pandas": (len(frame), list(frame.columns)),
        "duckdb": (len(relation), relation.columns),
        "polars": (lazy.height, lazy.columns),
    }
    # `datasets` takes a table without rows for none: a run that is warned of nothing has such a table of warnings.
    if len(frame) > 0:
        hub = datasets.Dataset.from_parquet(str(table), cache_dir="/tmp/coreg-readers")
        shapes["datasets"] = (len(hub), hub.column_names)
    assert len({(rows, tuple(columns)) for rows, columns in shapes.values()}) == 1, (table, shapes)
    print(f"{table.relative_to(view)}: {len(frame)} rows, " + ", ".join(f"{c} {t}" for c, t in zip(relation.columns, relation.types)))
    if table.name == "images.parquet":
        first = hub[0]
        print("   datasets decodes the first image:", first["image"].size, first["image"].mode)
