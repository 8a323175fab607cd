#!/usr/bin/env python3
"""Instructions of an acquire and its return per contender, counted by valgrind.

    bench/instructions.py [--check] build/release/bench/bench_instructions

Counted twice, with 10,000 and with 110,000 pairs: the difference is free of everything that happens once. --check fails
when a hot path takes more than its ceiling, which stands a little above what g++ 12 -O2 made of it last.
"""

import collections
import re
import subprocess
import sys

CEILINGS = {
    "weir": 45,
    "weir_tagged_stack": 43,
    "weir_settings_upkeep": 62,
    "weir_settings_upkeep_setting": 67,
    "weir_async": 600,
    "weir_async_handoff": 1150,
    "weir_objects": 46,
}


def instructions_of(program, benchmark):
    # An exact match: a filter is a regular expression.
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program,
               f"--benchmark_filter=^{re.escape(benchmark)}$"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    collected = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or not collected or "ERROR OCCURRED" in run.stdout:
        sys.exit(f"{' '.join(map(str, command))}\n{run.stdout}{run.stderr}")
    return int(collected[1])


def counts_of(program):
    """By contender, of one pair."""
    listed = subprocess.run([program, "--benchmark_list_tests"], capture_output=True, text=True, check=True).stdout
    counts = collections.defaultdict(list)
    for benchmark in listed.split():
        contender, pairs = re.fullmatch(r"instructions/(\w+)/pairs:(\d+)/iterations:1", benchmark).groups()
        counts[contender].append((int(pairs), instructions_of(program, benchmark)))
    return {contender: (more - fewer) / (many - few) for contender, ((few, fewer), (many, more)) in counts.items()}


def table(counts):
    rows = [f"| {contender} | {count:.0f} | {CEILINGS.get(contender, '')} |" for contender, count in counts.items()]
    return "\n".join(["| | instructions | ceiling |", "|---|---|---|", *rows])


def main():
    check = "--check" in sys.argv[1:]
    programs = [argument for argument in sys.argv[1:] if argument != "--check"]
    if len(programs) != 1 or programs[0].startswith("-"):
        sys.exit(__doc__)
    counts = counts_of(programs[0])
    print(table(counts))
    if not check:
        return
    missing = [contender for contender in CEILINGS if contender not in counts]
    above = [f"{c}: {counts[c]:.0f} > {most}" for c, most in CEILINGS.items() if c in counts and counts[c] > most]
    if missing or above:
        sys.exit("instructions.py: " + "; ".join(above + [f"{contender} is not counted" for contender in missing]))


if __name__ == "__main__":
    main()
