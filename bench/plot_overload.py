#!/usr/bin/env python3
"""Goodput and waits by load, as a picture, from one run of bench_overload; gnuplot draws it.

    bench_overload --benchmark_repetitions=5 --benchmark_report_aggregates_only=true --benchmark_format=json |
        bench/plot_overload.py overload.svg
"""

import collections
import json
import shutil
import subprocess
import sys

from ratios import medians

LAYOUT = """
set terminal svg size 900,360 background rgb 'white' font 'sans-serif,12'
set logscale x 2
set xlabel 'asked for, % of capacity'
set xtics (50, 90, 110, 200, 500)
set xrange [45:550]
set grid
set key bottom left
"""


def block(contender, runs):
    """Gnuplot's inline data: load, goodput, p99 and p50 in milliseconds."""
    rows = (f"{load} {run['goodput_pct']} {run['p99_us'] / 1e3} {run['p50_us'] / 1e3}" for load, run in sorted(runs))
    return "\n".join([f"${contender} << end", *rows, "end"])


def curves(contenders, column, dash):
    return [
        f"${contender} using 1:{column} with linespoints lc {color} pt {color + 4} dt {dash} "
        + (f"title '{contender}'" if dash == 1 else "notitle")
        for color, contender in enumerate(contenders, 1)
    ]


def draw(medians_by_name, output):
    runs = collections.defaultdict(dict)
    for name, run in medians_by_name.items():
        _, contender, load = name.split("/")
        runs[contender][int(load.partition(":")[2])] = run

    script = [
        LAYOUT,
        f"set output {json.dumps(str(output))}",
        "set multiplot layout 1,2",
        *(block(contender, by_load.items()) for contender, by_load in runs.items()),
        "set title 'served within 100 ms, % of capacity'",
        "set yrange [0:*]",
        "plot " + ", ".join(curves(runs, 2, dash=1)),
        "set title 'wait of the served, ms: p99, p50 (dashed)'",
        "set yrange [*:*]",
        "set key top left",
        "set logscale y",
        "plot " + ", ".join(curves(runs, 3, dash=1) + curves(runs, 4, dash=2)),
        "unset multiplot",
    ]
    subprocess.run(["gnuplot"], input="\n".join(script), text=True, check=True)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if not shutil.which("gnuplot"):
        sys.exit("plot_overload.py: gnuplot is not installed (Debian: gnuplot-nox)")
    draw(medians(json.load(sys.stdin)), sys.argv[1])


if __name__ == "__main__":
    main()
