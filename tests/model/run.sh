#!/bin/sh
# Checks the models: run.sh <source dir> <scratch dir> [wide]
#
# Each configuration of store.pml, slot.pml, mutex.pml and pool.pml is searched whole, twice: for violated assertions and
# states in which somebody is stuck (safety), and for a schedule on which somebody goes round for ever (cycles). Then each
# mistake that the model can be given must be found, so that a check that checks nothing does not pass. Needs spin and
# gcc; 2 at a time.
set -eu

source=$(cd "$1" && pwd)
mkdir -p "$2"
scratch=$(cd "$2" && pwd)
rm -rf "$scratch"/*.run
failed=$scratch/failed
rm -f "$failed"

# search <mode> <name> <flags...>: leaves pan's report in <name>.<mode>.run/report
search() {
    mode=$1
    dir=$scratch/$2.$1.run
    shift 2
    mkdir "$dir"
    cd "$dir"
    spin -a "$@" "$source/$model.pml" >spin.log 2>&1 || { cat spin.log >&2; return 1; }
    case $mode in
    safety) how='-DSAFETY' run= ;;
    cycles) how='-DNP' run=-l ;;
    esac
    # Unoptimised: what that costs the search is less than gcc wants for its one huge function.
    gcc -O0 -w $how -DCOLLAPSE -DMEMLIM=1900 -DVECTORSZ=1024 -o pan pan.c
    # shellcheck disable=SC2086
    ./pan -m20000 -n $run >report 2>&1 || true
    rm -f pan pan.[bchmpt]
}

# errors <report>: their number, or nothing when the search was cut short
errors() {
    grep -q 'max search depth too small\|out of memory\|reached -DMEMLIM' "$1" ||
        sed -n 's/.*errors: \([0-9]*\).*/\1/p' "$1"
}

# holds <name> <mode> <flags...>
holds() {
    name=$1 mode=$2
    shift 2
    search "$mode" "$name" "$@" || { echo "$name $mode" >>"$failed"; return; }
    report=$scratch/$name.$mode.run/report
    count=$(errors "$report")
    printf '%-22s %-7s %10s states, errors: %s   %s\n' "$name" "$mode" \
        "$(awk '/states, stored/ { print $1; exit }' "$report")" "${count:-search not completed}" "$*"
    if [ "$count" != 0 ]; then
        echo "$name $mode" >>"$failed"
        head -n 5 "$report"
    fi
}

# check <name> <flags...>: both searches, side by side
check() {
    name=$1
    shift
    holds "$name" safety "$@" &
    holds "$name" cycles "$@"
    wait
}

# catches <mutation> <flags...>: one of the two searches must find it
catches() {
    name=$1
    shift
    for mode in safety cycles; do
        search "$mode" "$name" "-DMUTATE_$name" "$@"
        report=$scratch/$name.$mode.run/report
        count=$(errors "$report")
        if [ -n "$count" ] && [ "$count" != 0 ]; then
            printf '%-36s found (%s): %s\n' "$name" "$mode" "$(sed -n 's/^pan:1: //p' "$report" | head -n 1)"
            return
        fi
    done
    printf '%-36s NOT FOUND\n' "$name"
    echo "$name" >>"$failed"
}

echo '--- the store that is parted by processor'
model=store
check parts -DUSERS=3 -DSLOTS=2
check parts_again -DUSERS=2 -DSLOTS=1 -DROUNDS=2
{
    catches NO_GATE_BEHIND -DUSERS=3 &
    catches MOVED_ONE_FORGOTTEN -DUSERS=3
    wait
    catches NOBODY_STEALS -DUSERS=3 &
    catches LOOKS_AND_THEN_BARS -DUSERS=3
    wait
    catches FRONTS_ONLY_OF_THE_FIRST -DUSERS=3 &
    catches UNDO_FORGOTTEN -DUSERS=3
    wait
}

echo "--- a thread's own slot"
model=slot
check owner_and_visitors -DSTEPS=4
{
    catches NO_HEAVY_FENCE &
    catches DOES_NOT_LOOK
    wait
    catches GIVES_BACK_ITSELF -DSTEPS=4 &
    catches DOES_NOT_MARK
    wait
    catches LOOKS_BEFORE_IT_MARKS &
    catches COMES_BACK_TOO_SOON -DSTEPS=4
    wait
    catches LOOKS_AGAIN_AT_THE_END
}

echo '--- the mutex'
model=mutex
check threads
{
    catches NO_HEAVY_FENCE &
    catches FENCE_BEFORE_THE_NUMBER
    wait
    catches LOOKS_BEFORE_IT_UNLOCKS &
    catches COUNTED_ONCE
    wait
    catches WAKES_BEFORE_ITS_STORE_IS_SEEN
}

echo '--- the pool'
model=pool
check cancel -DHIGH=1 -DACQUIRERS=2 -DCANCELS -DCONNECTS_FAIL
check discard -DHIGH=1 -DACQUIRERS=3 -DDISCARDS

# The wide ones take their time, and memory: run.sh <source dir> <scratch dir> wide
if [ "${3-}" = wide ]; then
    model=store
    check three_parts -DUSERS=3 -DSLOTS=3 -DCPUS=3
    model=slot
    check three_objects -DOBJECTS=3 -DSTEPS=5 -DROBBERS=2
    model=mutex
    check four_threads -DTHREADS=4 -DROUNDS=1
    model=pool
    check three_cancel -DHIGH=1 -DACQUIRERS=3 -DCANCELS -DCONNECTS_FAIL
    check room -DHIGH=2 -DACQUIRERS=3 -DCLOSERS=0 -DCONNECTS_FAIL
    check two_cancel -DHIGH=2 -DACQUIRERS=2 -DCANCELS -DTIMES_OUT -DCONNECTS_FAIL
    check overrun -DHIGH=2 -DACQUIRERS=2 -DMAX_CONCURRENT=1 -DCONNECTS_FAIL -DCONNECTS_OVERRUN
    check manners -DHIGH=1 -DACQUIRERS=3 -DMANNER_0=connects_here -DMANNER_1=tries -DCONNECTS_FAIL -DDISCARDS
    check here -DHIGH=2 -DACQUIRERS=3 -DMANNER_0=connects_here -DMANNER_1=connects_here -DMAX_CONCURRENT=1 -DCLOSERS=0
    check ages -DHIGH=1 -DACQUIRERS=2 -DAGES
    check closers -DHIGH=1 -DACQUIRERS=2 -DCLOSERS=2 -DTIMES_OUT -DCANCELS -DDISCARDS
fi

echo '--- the mistakes'
{
    catches NO_GATE_RECHECK -DHIGH=1 -DACQUIRERS=2 &
    catches PUSH_IGNORES_GATE -DHIGH=1 -DACQUIRERS=2
    wait
    catches REFUSED_RETURN_PARKS -DHIGH=1 -DACQUIRERS=2 &
    catches NO_PUMP -DHIGH=1 -DACQUIRERS=2 -DCONNECTS_FAIL
    wait
    catches NO_PUMP_AFTER_CLOSE -DHIGH=1 -DACQUIRERS=2 -DDISCARDS &
    catches OWED_FORGOTTEN -DHIGH=2 -DACQUIRERS=3 -DCONNECTS_FAIL -DCLOSERS=0
    wait
    catches CANCEL_TAKES_GRANT -DHIGH=1 -DACQUIRERS=2 -DCANCELS &
    catches CLOSE_LEAVES_GATE_OPEN -DHIGH=1 -DACQUIRERS=2
    wait
    catches STANDS_FOR_EVER -DHIGH=1 -DACQUIRERS=2
    catches END_IGNORES_HOLDS -DHIGH=1 -DACQUIRERS=2 -DDISCARDS &
    catches SWEEP_IGNORES_A_REFUSED_HOLD -DHIGH=1 -DACQUIRERS=2 -DAGES
    wait
}

if [ -s "$failed" ]; then
    echo "FAILED: $(tr '\n' ',' <"$failed")"
    exit 1
fi
echo 'all hold, and every mistake is found'
