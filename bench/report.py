#!/usr/bin/env python3
"""Runs all benchmark programs and writes what they say as a page with pictures.

    bench/report.py [--quick] build/bench/bench build/bench/report

The first directory holds the programs bench_<question>; the second gets README.md, an SVG for each question that is
drawn, and what each program wrote as JSON. Repetitions of all contenders of a program are interleaved. --quick runs
each only once, and says nothing about speed. Needs gnuplot and valgrind.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

import compile_time
import instructions
import plot_overload
from ratios import ALSO, base_of, in_order, medians, repetitions, rounded, time_of

# What each contender of a question is compared with, the first that there is; see README.md for the questions.
BASES = {
    "uncontended": ["floor/two_xchg", "naive"],
    "async_handoff": ["floor/post/users:2", "channel"],
    "held": ["private_two_xchg", "private_two_cmpxchg16b", "naive"],
    "postgres": ["connect_each", "session_per_client", "pgbench_session_per_client"],
}
USUAL_BASES = ["naive"]
REPETITIONS = 5
MIN_TIME = 0.03  # seconds of each repetition

# Drawn: the argument along the axis, and which names, without that argument.
LINES = {
    "threads": ("threads", r"^threads/[^/]+/resources:128$", "nanoseconds an acquire and return, 128 resources"),
}
BARS = {
    "held": (r"^held/[^/]+/leases:16/threads:2$", "nanoseconds an acquire and return, 2 threads, 16 leases each"),
    "scarce": (r"^scarce/[^/]+/threads:8/resources:4/work_us:2$", "nanoseconds a lease: 8 threads, 4 resources, 2 us of work"),
    "async_handoff": (r"^(floor|async_handoff_callback)/[^/]+/users:100$", "nanoseconds 1000 hand-offs to 100 handlers"),
}

STYLE = """
set terminal svg size 760,380 background rgb 'white' font 'sans-serif,12'
set logscale y
set grid ytics
set yrange [1:*]
set ylabel 'ns'
"""


def gnuplot(script):
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def quoted(text):
    return "'" + str(text).replace("'", "''") + "'"


def is_ours(contender):
    return contender.startswith("weir")


def draw_lines(runs, argument, names, title, output):
    curves = {}
    for name, run in runs.items():
        found = re.search(rf"/{argument}:(\d+)", name)
        rest = name.replace(found[0], "") if found else ""
        if found and re.search(names, rest):
            curves.setdefault(rest.split("/")[1], []).append((int(found[1]), time_of(run)))
    if not curves:
        return False
    data, plots = [], []
    for i, (contender, points) in enumerate(sorted(curves.items())):
        rows = "\n".join(f"{x} {y}" for x, y in sorted(points))
        data.append(f"$d{i} << end\n{rows}\nend")
        width = 3 if is_ours(contender) else 1
        plots.append(f"$d{i} using 1:2 with linespoints lw {width} title {quoted(contender.replace('_', ' '))}")
    gnuplot("\n".join([STYLE, f"set output {quoted(output)}", f"set title {quoted(title)}", "set logscale x 2",
                       f"set xlabel {quoted(argument)}", "set key outside right", *data, "plot " + ", ".join(plots)]))
    return True


def draw_bars(runs, names, title, output):
    bars = sorted((time_of(run), name.split("/")[1]) for name, run in runs.items() if re.search(names, name))
    if not bars:
        return False
    # In data, unlike elsewhere, only double quotes hold words together.
    rows = "\n".join(f"{json.dumps(contender.replace('_', ' '))} {time} {1 if is_ours(contender) else 2}"
                     for time, contender in bars)
    gnuplot("\n".join([STYLE, f"set output {quoted(output)}", f"set title {quoted(title)}", "set style fill solid",
                       "set boxwidth 0.7", "set xtics rotate by -30", "unset key", f"set xrange [-1:{len(bars)}]",
                       f"$d << end\n{rows}\nend",
                       "plot $d using 0:2:3:xtic(1) with boxes lc variable"]))
    return True


def table(question, report):
    """Names by their arguments, the fastest first."""
    runs, all_runs = medians(report), repetitions(report)
    bases = BASES.get(question, USUAL_BASES)
    bases = [base for base in bases if any(base_of(name, base) in runs for name in runs)]
    also = [key for key in ALSO if any(key in run for run in runs.values())]
    spread = any(len(repeated) > 1 for repeated in all_runs.values())
    lines = ["| | ns | " + " | ".join((["from, to"] if spread else []) + also + [f"/ {base}" for base in bases]) + " |"]
    lines.append("|---|" + "---|" * (1 + spread + len(also) + len(bases)))

    def arguments_then_time(name):
        question, _, arguments = name.split("/", 2) if name.count("/") > 1 else (name.split("/")[0], "", "")
        return in_order(question + "/" + arguments), time_of(runs[name])

    for name in sorted(runs, key=arguments_then_time):
        times = [time_of(run) for run in all_runs[name]]
        cells = [rounded(time_of(runs[name]))]
        if spread:
            cells.append(f"{rounded(min(times))}, {rounded(max(times))}")
        cells += [f"{runs[name][key]:.3g}" if key in runs[name] else "" for key in also]
        for base in bases:
            other = runs.get(base_of(name, base))
            cells.append(f"{time_of(runs[name]) / time_of(other):.2f}" if other else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine():
    model = "an unknown processor"
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    compiler = subprocess.run([os.environ.get("CXX", "c++"), "--version"], capture_output=True, text=True, check=False)
    return (f"{os.cpu_count()} x {model}; {platform.system()} {platform.release()}; "
            f"{(compiler.stdout.splitlines() or ['an unknown compiler'])[0]}")


def run(program, output, quick):
    command = [program, f"--benchmark_out={output}", "--benchmark_out_format=json",
               f"--benchmark_min_time={0.01 if quick else MIN_TIME}"]
    if not quick:
        command += [f"--benchmark_repetitions={REPETITIONS}", "--benchmark_enable_random_interleaving=true",
                    "--benchmark_display_aggregates_only=true"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads(output.read_text())


def drawn(question, report, output):
    runs = medians(report)
    if question == "overload":
        plot_overload.draw(runs, output)
    elif question in LINES:
        return draw_lines(runs, *LINES[question], output)
    elif question in BARS:
        return draw_bars(runs, *BARS[question], output)
    else:
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one repetition each: only to see that everything runs")
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    options = parser.parse_args()
    for tool in ("gnuplot", "valgrind"):
        if not shutil.which(tool):
            sys.exit(f"report.py: {tool} is not installed")
    programs = sorted(p for p in options.programs.glob("bench_*") if os.access(p, os.X_OK) and p.is_file())
    if not programs:
        sys.exit(f"report.py: no programs bench_* in {options.programs}")
    options.output.mkdir(parents=True, exist_ok=True)

    page = ["# What the benchmarks say", "", machine() + ".", "",
            "Medians of " + (f"{REPETITIONS} interleaved repetitions" if not options.quick else "one quick run, which "
                             "say nothing") + ". What the names mean stands in bench/README.md.", ""]
    for program in programs:
        question = program.name.removeprefix("bench_")
        print(f"== {question}", flush=True)
        page += [f"## {question}", ""]
        if question == "instructions":
            page += [instructions.table(instructions.counts_of(program)), ""]
            continue
        report = run(program, options.output / f"{question}.json", options.quick)
        if drawn(question, report, options.output / f"{question}.svg"):
            page += [f"![{question}]({question}.svg)", ""]
        page += [table(question, report), ""]
    print("== compile time", flush=True)
    include = pathlib.Path(__file__).parent.parent / "include"
    page += ["## compile time", "", compile_time.table(include), ""]
    (options.output / "README.md").write_text("\n".join(page))
    print(f"== see {options.output / 'README.md'}")


if __name__ == "__main__":
    main()
