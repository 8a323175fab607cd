#!/bin/sh
# From a fresh Debian 12 to a running weir; see --help. POSIX sh, from any directory.
set -eu

usage() {
    cat <<'TEXT'
usage: sh cmake/setup.sh <mode>

  demo         install what is missing, build the examples (release) in build/demo,
               run the first one, then the query service on SQLite for five seconds
  test         install what is missing, build all tests (release) in build/test, run them;
               also against servers that the tests start for themselves: PostgreSQL, MariaDB,
               Redis, PgBouncer, HAProxy and nginx are installed, but no service is started
  bench        install what is missing, other people's pools included, build the benchmarks in
               build/bench, run them all (about ten minutes, on an idle machine) and write
               build/bench/report/README.md with tables and pictures
  ci-packages  only install what .ci/run needs beyond that
  --help       this text

Packages come from Debian by apt-get, as root or through sudo, and only when one is missing.
TEXT
}

fail() {
    echo "setup.sh: $*" >&2
    exit 1
}

build_packages="g++ cmake ninja-build libboost1.81-dev"
demo_packages="$build_packages libsqlite3-dev libpq-dev"
test_packages="$build_packages libboost-context1.81-dev libgtest-dev libgmock-dev
    libpq-dev libsqlite3-dev libhiredis-dev libmariadb-dev libssl-dev"
# What the integration tests run as servers of their own.
server_packages="redis-server pgbouncer haproxy nginx-light mariadb-server-core mariadb-client-core
    openssl"
bench_packages="$build_packages libbenchmark-dev gnuplot-nox python3 valgrind
    libconcurrentqueue-dev libpoco-dev libsoci-dev libtbb-dev libpq-dev"
ci_packages="$demo_packages $test_packages $bench_packages clang-14 libclang-rt-14-dev
    clang-format-14 clang-tidy-14 spin qemu-user g++-aarch64-linux-gnu googletest"

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# Asio is heavy on the compiler: as many jobs as processors, no more.
jobs=$(nproc 2>/dev/null || echo 1)

# The packages among the arguments that are not installed.
missing_among() {
    for package in "$@"; do
        status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$status" = installed ] || printf '%s ' "$package"
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        fail "to install packages run this as root, or install sudo"
    fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# Installs what is missing among the arguments; without anything missing apt-get is not called.
need() {
    command -v dpkg-query >/dev/null 2>&1 ||
        fail "this is no Debian system; install the counterparts of: $*"
    missing=$(missing_among "$@")
    [ -n "$missing" ] || return 0
    echo "== installing: $missing"
    apt update
    # shellcheck disable=SC2086 # a list of words
    apt install --no-install-recommends $missing
}

# Debian's package would create a cluster and start a server on the default port. Told beforehand, it
# only brings the programs; whoever needs a server runs one of their own.
need_postgresql() {
    [ -z "$(missing_among postgresql)" ] && return 0
    need postgresql-common
    as_root sed -i 's/^#\{0,1\} *create_main_cluster *=.*/create_main_cluster = false/' \
        /etc/postgresql-common/createcluster.conf
    need postgresql
}

# The same for the others, which have no such switch: while they are installed services may not be started,
# and those that came with them stay off at the next boot. MariaDB's package with the programs has none.
need_servers() {
    need_postgresql
    missing=$(missing_among "$@")
    [ -n "$missing" ] || return 0
    forbid_services
    need "$@"
    allow_services
    for service in redis-server pgbouncer haproxy nginx; do
        case " $missing" in
            *" $service"*) as_root update-rc.d "$service" disable ;;
        esac
    done
}

# Who has a policy of his own knows what he wants; where there is none this puts one that is gone again when the
# script is, however it ends.
policy=/usr/sbin/policy-rc.d
forbid_services() {
    [ -e "$policy" ] && return 0
    trap allow_services EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    forbidden=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}
allow_services() {
    [ "${forbidden-}" ] || return 0
    as_root rm -f "$policy"
    forbidden=
}

configure() {
    build=$1
    shift
    echo "== configuring $build"
    cmake -S "$root" -B "$root/$build" -G Ninja -DCMAKE_BUILD_TYPE=Release "$@"
}

demo() {
    # shellcheck disable=SC2086
    need $demo_packages
    configure build/demo -DWEIR_BUILD_TESTS=OFF -DWEIR_BUILD_BENCH=OFF -DWEIR_BUILD_EXAMPLES=ON
    echo "== building the examples"
    cmake --build "$root/build/demo" -j "$jobs" --target 01_first_pool 10_query_service
    echo "== examples/01_first_pool"
    "$root/build/demo/examples/01_first_pool"
    echo "== examples/10_query_service --seconds 5"
    "$root/build/demo/examples/10_query_service" --seconds 5
}

run_tests() {
    # shellcheck disable=SC2086
    need $test_packages
    # shellcheck disable=SC2086
    need_servers $server_packages
    configure build/test -DWEIR_BUILD_TESTS=ON -DWEIR_BUILD_BENCH=OFF -DWEIR_BUILD_EXAMPLES=OFF
    echo "== building the tests"
    cmake --build "$root/build/test" -j "$jobs"
    echo "== running the tests"
    ctest --test-dir "$root/build/test" --output-on-failure --no-tests=error -j "$jobs"
}

run_benchmarks() {
    # shellcheck disable=SC2086
    need $bench_packages
    need_servers pgbouncer
    configure build/bench -DWEIR_BUILD_TESTS=OFF -DWEIR_BUILD_BENCH=ON -DWEIR_BUILD_EXAMPLES=OFF
    echo "== building the benchmarks"
    cmake --build "$root/build/bench" -j "$jobs"
    echo "== running the benchmarks"
    "$root/bench/report.py" "$root/build/bench/bench" "$root/build/bench/report"
}

[ $# -eq 1 ] || {
    usage >&2
    exit 2
}
case $1 in
    demo) demo ;;
    test) run_tests ;;
    bench) run_benchmarks ;;
    ci-packages)
        # shellcheck disable=SC2086
        need $ci_packages
        # shellcheck disable=SC2086
        need_servers $server_packages
        ;;
    -h | --help) usage ;;
    *)
        echo "setup.sh: unknown mode '$1'" >&2
        usage >&2
        exit 2
        ;;
esac
