#!/usr/bin/env python3
"""Medians and ratios of one run of a benchmark program, as a table.

    bench_threads --benchmark_enable_random_interleaving=true --benchmark_repetitions=9 \\
        --benchmark_report_aggregates_only=true --benchmark_format=json | bench/ratios.py naive

Each name is question/contender/arguments. The last columns are ratios to the contenders that are given.
"""

import collections
import json
import re
import statistics
import sys

# The time that counts, the first that there is: see README.md.
TIMES = ("wall_ns", "cpu_time")
ALSO = (
    *("p50_us", "p99_us", "p999_us", "max_us", "fairness", "return_us", "opened", "goodput_pct", "refused_pct"),
    *("applied_pct", "reset_pct", "sweeps_per_s", "bytes_pool", "bytes_idle", "bytes_waiting"),
)
NANOSECONDS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}


def in_order(name):
    return [(0, int(x), "") if x.isdigit() else (1, 0, x) for x in re.split(r"(\d+)", name)]


def time_of(run):
    """In nanoseconds."""
    if "/manual_time" in run["run_name"]:
        return run["real_time"] * NANOSECONDS[run["time_unit"]]
    key = next(key for key in TIMES if key in run)
    return run[key] * (NANOSECONDS[run["time_unit"]] if key == "cpu_time" else 1)


def repetitions(report):
    """All runs of each name; where only aggregates were reported, the median."""
    runs = collections.defaultdict(list)
    for run in report["benchmarks"]:
        if run.get("error_occurred"):
            sys.exit(f"{run['name']}: {run['error_message']}")
        if run["run_type"] == "iteration" or run["aggregate_name"] == "median":
            name = re.sub(r"/(real_time|manual_time|iterations:\d+)", "", run["run_name"])
            runs[name].append(run)
    # The library's own medians are of no use where there are the values.
    return {name: [r for r in all if r["run_type"] == "iteration"] or all for name, all in runs.items()}


def medians(report):
    """The medians in a report by name, of every number on its own."""
    result = {}
    for name, runs in repetitions(report).items():
        numbers = (key for key, value in runs[0].items() if isinstance(value, (int, float)))
        result[name] = runs[0] | {key: statistics.median(run[key] for run in runs) for key in numbers}
    return result


def base_of(name, base):
    """A base with a slash is one benchmark; else the contender of the same question and arguments."""
    question, _, rest = name.partition("/")
    arguments = rest.partition("/")[2]
    return base if "/" in base else "/".join(filter(None, (question, base, arguments)))


def rounded(time):
    return f"{time:.3g}" if time < 100 else f"{time:.0f}"


def main():
    bases = sys.argv[1:]
    runs = medians(json.load(sys.stdin))

    also = [key for key in ALSO if any(key in run for run in runs.values())]
    print("| | ns |", " | ".join(also + [f"/ {base}" for base in bases]), "|")
    print("|---|" + "---|" * (1 + len(also) + len(bases)))
    for name in sorted(runs, key=in_order):
        time = time_of(runs[name])
        cells = [rounded(time)]
        cells += [f"{runs[name][key]:.3g}" if key in runs[name] else "" for key in also]
        for base in bases:
            other = runs.get(base_of(name, base))
            cells.append(f"{time / time_of(other):.2f}" if other else "")
        print(f"| {name} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
