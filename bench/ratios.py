#!/usr/bin/env python3
"""Medians and ratios of one run of a benchmark program, as a table.

    bench_threads --benchmark_enable_random_interleaving=true --benchmark_repetitions=9 \\
        --benchmark_report_aggregates_only=true --benchmark_format=json | bench/ratios.py naive

Each name is question/contender/arguments. The last columns are ratios to the contenders that are given.
"""

import json
import re
import sys

# The time that counts, the first that there is: see README.md.
TIMES = ("wall_ns", "cpu_time")
ALSO = ("p50_us", "p99_us", "p999_us", "max_us", "fairness", "opened", "goodput_pct", "refused_pct")
NANOSECONDS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}


def in_order(name):
    return [(0, int(x), "") if x.isdigit() else (1, 0, x) for x in re.split(r"(\d+)", name)]


def time_of(run):
    """In nanoseconds."""
    if "/manual_time" in run["run_name"]:
        return run["real_time"] * NANOSECONDS[run["time_unit"]]
    key = next(key for key in TIMES if key in run)
    return run[key] * (NANOSECONDS[run["time_unit"]] if key == "cpu_time" else 1)


def medians(report):
    """The medians in a report by name; where nothing was repeated, what there is."""
    runs = {}
    for run in report["benchmarks"]:
        if run.get("error_occurred"):
            sys.exit(f"{run['name']}: {run['error_message']}")
        if run.get("aggregate_name") == "median" or run["repetitions"] == 1:
            name = re.sub(r"/(real_time|manual_time|iterations:\d+)", "", run["run_name"])
            runs[name] = run
    return runs


def main():
    bases = sys.argv[1:]
    runs = medians(json.load(sys.stdin))

    also = [key for key in ALSO if any(key in run for run in runs.values())]
    print("| | ns |", " | ".join(also + [f"/ {base}" for base in bases]), "|")
    print("|---|" + "---|" * (1 + len(also) + len(bases)))
    for name in sorted(runs, key=in_order):
        cells = [f"{time_of(runs[name]):.3g}" if time_of(runs[name]) < 100 else f"{time_of(runs[name]):.0f}"]
        cells += [f"{runs[name][key]:.3g}" if key in runs[name] else "" for key in also]
        for base in bases:
            question, _, rest = name.partition("/")
            arguments = rest.partition("/")[2]
            # A base with a slash is one benchmark; else the contender of the same question and arguments.
            other = base if "/" in base else "/".join(filter(None, (question, base, arguments)))
            cells.append(f"{time_of(runs[name]) / time_of(runs[other]):.2f}" if other in runs else "")
        print(f"| {name} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
