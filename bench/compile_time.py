#!/usr/bin/env python3
"""What including weir, and using it, costs the compiler: seconds of processor time, the best of several.

    bench/compile_time.py include

The argument is the directory with weir's headers. CXX names the compiler, c++ if it is not set.
"""

import os
import pathlib
import resource
import subprocess
import sys
import tempfile

USE = "int main() { weir::Pool<int> pool{[] { return 1; }}; auto lease = pool.acquire(); return *lease - 1; }"
PROGRAMS = {
    "an empty program": "int main() {}",
    "the standard headers that weir includes": "#include <atomic>\n#include <chrono>\n#include <condition_variable>\n"
        "#include <deque>\n#include <functional>\n#include <memory>\n#include <mutex>\n#include <optional>\n"
        "#include <string>\n#include <thread>\n#include <vector>\nint main() {}",
    "and Asio's that it includes": "#include <boost/asio/any_io_executor.hpp>\n#include <boost/asio/async_result.hpp>\n"
        "#include <boost/asio/awaitable.hpp>\n#include <boost/asio/co_spawn.hpp>\n"
        "#include <boost/asio/executor_work_guard.hpp>\n#include <boost/asio/io_context.hpp>\n"
        "#include <boost/asio/post.hpp>\nint main() {}",
    "all of Asio": "#include <boost/asio.hpp>\nint main() {}",
    "weir/weir.hpp": "#include <weir/weir.hpp>\nint main() {}",
    "a pool, used": "#include <weir/pool.hpp>\n" + USE,
}
ATTEMPTS = 3


def seconds(compiler, include, source):
    def once():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([compiler, "-std=c++20", "-O2", f"-I{include}", "-c", "-o", os.devnull, source], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(ATTEMPTS))


def table(include):
    compiler = os.environ.get("CXX", "c++")
    lines = ["| | s |", "|---|---|"]
    with tempfile.TemporaryDirectory() as scratch:
        for name, text in PROGRAMS.items():
            source = pathlib.Path(scratch) / "program.cpp"
            source.write_text(text)
            lines.append(f"| {name} | {seconds(compiler, include, source):.2f} |")
    return "\n".join(lines)


def main():
    if len(sys.argv) != 2 or not (pathlib.Path(sys.argv[1]) / "weir").is_dir():
        sys.exit(__doc__)
    print(table(sys.argv[1]))


if __name__ == "__main__":
    main()
