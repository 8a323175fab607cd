#!/usr/bin/env python3
"""Instructions of one acquire and return per contender, counted by valgrind.

    bench/instructions.py build/release/bench/bench_instructions

Counted twice, with 10,000 and with 110,000 pairs: the difference is free of everything that happens once.
"""

import collections
import re
import subprocess
import sys


def instructions_of(program, benchmark):
    # An exact match: a filter is a regular expression.
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program,
               f"--benchmark_filter=^{re.escape(benchmark)}$"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    collected = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or not collected or "ERROR OCCURRED" in run.stdout:
        sys.exit(f"{' '.join(command)}\n{run.stdout}{run.stderr}")
    return int(collected[1])


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    program = sys.argv[1]
    listed = subprocess.run([program, "--benchmark_list_tests"], capture_output=True, text=True, check=True).stdout
    counts = collections.defaultdict(list)
    for benchmark in listed.split():
        contender, pairs = re.fullmatch(r"instructions/(\w+)/pairs:(\d+)/iterations:1", benchmark).groups()
        counts[contender].append((int(pairs), instructions_of(program, benchmark)))

    print("| | instructions |\n|---|---|")
    for contender, ((few, fewer), (many, more)) in counts.items():
        print(f"| {contender} | {(more - fewer) / (many - few):.0f} |")


if __name__ == "__main__":
    main()
