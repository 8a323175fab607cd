/* The mutex of include/weir/detail/mutex.hpp: an unlock without a fence, and sleepers who pay for it.
 *
 * The store that unlocks goes through the store buffer of its thread's processor: others see it later, and the thread may
 * look at the number of sleepers before. `heavy_fence` empties all of them, as membarrier(2) does; every exchange empties
 * its own thread's. To go to sleep is one step of the kernel's: it looks at the word as others see it.
 *
 * Checked: one at a time holds it, and nobody sleeps for ever. Everybody locks a bounded number of times, so whoever is
 * stuck is found as a state without a way on. MUTATE_... puts a mistake in, for run.sh to see it found.
 */

#ifndef THREADS
#define THREADS 3
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

bit word;                   /* as others see it: held */
bit unlocking[THREADS];     /* a store of 0 that is in the store buffer yet */
bit asleep[THREADS];
byte sleepers;
byte inside;
byte ended;

/* Parts of steps. */
inline empty_buffer(t) {
    if
    :: unlocking[t] -> unlocking[t] = 0; word = 0
    :: else
    fi
}
inline empty_all() {
    byte b;
    b = 0;
    do
    :: b < THREADS -> empty_buffer(b); b++
    :: else -> break
    od
}

/* A step. */
inline try_lock(t, done) {
    atomic {
        empty_buffer(t);
        done = !word;
        word = 1
    }
}

inline heavy_fence() {
#ifndef MUTATE_NO_HEAVY_FENCE
    atomic { empty_all() }
#else
    skip
#endif
}

inline count_in(t) {
    atomic { empty_buffer(t); sleepers++; counted = 1 }
}

inline lock(t, done) {
    try_lock(t, done);
    if
    :: done
    :: !done ->
#ifdef MUTATE_FENCE_BEFORE_THE_NUMBER
        heavy_fence();
        count_in(t);
#else
        count_in(t);
        heavy_fence();
#endif
        do
        :: try_lock(t, done);
            if
            :: done -> break
            :: else
            fi;
            /* The kernel's: asleep only if it is held still. */
            atomic {
                empty_buffer(t);
                asleep[t] = word
            }
            !asleep[t]
#ifdef MUTATE_COUNTED_ONCE
            if
            :: counted -> atomic { empty_buffer(t); sleepers--; counted = 0 }
            :: else
            fi
#endif
        od;
        if
        :: counted -> atomic { empty_buffer(t); sleepers--; counted = 0 }
        :: else
        fi
    fi
}

inline wake(t) {
#ifndef MUTATE_WAKES_BEFORE_ITS_STORE_IS_SEEN
    atomic { empty_buffer(t) }
#endif
    atomic {
        if
#if THREADS > 2
        :: asleep[2] -> asleep[2] = 0
#endif
#if THREADS > 3
        :: asleep[3] -> asleep[3] = 0
#endif
        :: asleep[0] -> asleep[0] = 0
        :: asleep[1] -> asleep[1] = 0
        :: else
        fi
    }
}

inline unlock(t, seen) {
#ifdef MUTATE_LOOKS_BEFORE_IT_UNLOCKS
    seen = sleepers;
    atomic { assert(!unlocking[t]); unlocking[t] = 1 }
#else
    atomic { assert(!unlocking[t]); unlocking[t] = 1 }
    seen = sleepers;
#endif
    if
    :: seen > 0 -> wake(t)
    :: else
    fi
}

proctype User(byte t) {
    bit done;
    bit counted;
    byte seen;
    byte round;
    do
    :: round < ROUNDS ->
        lock(t, done);
        atomic { inside++; assert(inside == 1) }
        inside--;
        unlock(t, seen);
        round++
    :: else -> break
    od;
    ended++
}

proctype StoreBuffer(byte t) {
    do
    :: atomic { unlocking[t] -> empty_buffer(t) }
    :: atomic { ended == THREADS && !unlocking[t] -> break }
    od
}

init {
    byte i;
    atomic {
        for (i : 0 .. THREADS - 1) {
            run User(i);
            run StoreBuffer(i)
        }
    }
}
