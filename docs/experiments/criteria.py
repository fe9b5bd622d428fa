"""How figures that need no truth rank trainings, against how their test accuracy does.

    python3 -m venv venv && venv/bin/pip install pyarrow scipy
    venv/bin/python docs/experiments/criteria.py artifacts/demo artifacts/eurosat …

Each argument is a data set's folder of results. Every training by Co-Reg in it counts once, by its last epoch. Prints
Spearman's rank correlation of each figure with the test accuracy for each data set, and what would be lost by keeping
the training that the figure ranks first (points below the best one).
"""
import pathlib
import sys

import pyarrow.parquet as pq
from scipy.stats import spearmanr

FIGURES = ["agreement", "within_candidates", "believed", "decisiveness", "balance", "density", "mean_w"]


def last(history):
    rows = pq.read_table(history).to_pylist()
    rows = [row for row in rows if row["epoch"] == rows[-1]["epoch"]]
    names = FIGURES + ["accuracy_test_both"]
    return {name: sum(row[name] for row in rows) / len(rows) for name in names}


def main(folders):
    print("| data set | trainings | spread |", " | ".join(FIGURES), "|")
    print("|---" * (3 + len(FIGURES)) + "|")
    for folder in map(pathlib.Path, folders):
        histories = sorted(folder.glob("co-reg*/history.parquet"))
        runs = [last(h) for h in histories if "density" in pq.read_schema(h).names]
        truth = [100 * run["accuracy_test_both"] for run in runs]
        cells = []
        for figure in FIGURES:
            values = [run[figure] for run in runs]
            lost = max(truth) - truth[values.index(max(values))]
            cells.append(f"{spearmanr(values, truth).statistic:+.2f}, {lost:.1f} lost")
        print(f"| {folder.name} | {len(runs)} | {min(truth):.1f}–{max(truth):.1f} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main(sys.argv[1:])
