/* The idle store that is parted by processor, as include/weir/detail has it: FrontedStore, PerCpuStore, StoreGroup.
 *
 * pool.pml takes a store for one word. This one is several: a place in front and a stack behind for each processor.
 * What pool.pml uses of it must hold all the same: a gate that was shut while the store was empty lets nobody park
 * beside a waiter; nothing is lost and nothing is lent twice, whoever is interrupted where.
 *
 * Each exchange of one word is one step. A thread may be moved to another processor between any two of its steps, and
 * its guess of what lies in front may be wrong in any way. Order (rule 4) is left out: a stack is a set here.
 *
 * Everybody acts a bounded number of times, so whoever is stuck is found as a state without a way on. MUTATE_... puts a
 * mistake in, for run.sh to see it found.
 */

#ifndef CPUS
#define CPUS 2
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef USERS
#define USERS 3             /* more than slots: somebody has to wait */
#endif
#ifndef ROUNDS
#define ROUNDS 1            /* leases of each user */
#endif

#define EMPTY SLOTS
#define BARRED (SLOTS + 1)
#define NONE SLOTS
#define bit_of(x) (1 << (x))
#define holds_slot(word) (word < SLOTS)

byte place[CPUS] = EMPTY;   /* FrontedStore::place_ */
byte behind[CPUS];          /* bit s: slot s */
bit behind_shut[CPUS];
bit mutex;
chan line = [USERS] of { byte };
byte granted[USERS] = NONE;
byte owners[SLOTS];         /* how many think that it is theirs */

inline own(s) { owners[s]++; assert(owners[s] == 1) }
inline disown(s) { assert(owners[s] == 1); owners[s]-- }

inline any_cpu(c) {
    c = 0;
    do
    :: c + 1 < CPUS -> c++
    :: break
    od
}

inline lowest(set, which) {
    which = 0;
    do
    :: set & bit_of(which) -> break
    :: else -> which++
    od
}

/* TaggedStackStore::push */
inline push_behind(c, s, refused) {
    atomic {
        if
#ifndef MUTATE_NO_GATE_BEHIND
        :: behind_shut[c] -> refused = s
#endif
        :: else -> assert(len(line) == 0); disown(s); behind[c] = behind[c] | bit_of(s); refused = NONE
        fi
    }
}

/* FrontedStore::push: the exchange succeeds with whatever lies there, right away or after a wrong guess. What lay there
 * is the pusher's, from the exchange on. */
inline store_push(c, s, refused) {
    any_cpu(c);
    atomic {
        if
        :: place[c] == BARRED -> refused = s; s = NONE
        :: else ->
            refused = place[c];
            assert(len(line) == 0);
            disown(s);
            place[c] = s;
            if
            :: holds_slot(refused) -> own(refused)
            :: else -> refused = NONE
            fi;
            s = refused
        fi
    }
    /* now `s` is the one that was moved, if any */
    if
    :: holds_slot(s) -> push_behind(c, s, refused)
    :: else
    fi
#ifdef MUTATE_MOVED_ONE_FORGOTTEN
    if
    :: holds_slot(s) && refused == s -> refused = NONE
    :: else
    fi
#endif
}

/* PerCpuStore::pop: first here, then everywhere else. */
inline store_pop(c, s, left) {
    any_cpu(c);
    left = CPUS;
    s = NONE;
    do
    :: left > 0 && s == NONE ->
        atomic {
            if
            :: holds_slot(place[c]) -> s = place[c]; place[c] = EMPTY; own(s)
            :: else
            fi
        }
        if
        :: s == NONE ->
            atomic {
                if
                :: behind[c] != 0 -> lowest(behind[c], s); behind[c] = behind[c] & ~bit_of(s); own(s)
                :: else
                fi
            }
        :: else
        fi;
        c = (c + 1) % CPUS;
        left--;
#ifdef MUTATE_NOBODY_STEALS
        left = 0
#endif
    :: else -> break
    od
}

inline open_part(c) {
    atomic { behind_shut[c] = 0 }
    atomic {
        if
        :: place[c] == BARRED -> place[c] = EMPTY
        :: else
        fi
    }
}

/* Under the mutex, as all below. */
inline store_open(c) {
    c = 0;
    do
    :: c < CPUS -> open_part(c); c++
    :: else -> break
    od
}

inline bar(c, done) {
#ifdef MUTATE_LOOKS_AND_THEN_BARS
    done = (place[c] == EMPTY || place[c] == BARRED);
    if
    :: done -> place[c] = BARRED
    :: else
    fi
#else
    atomic {
        done = (place[c] == EMPTY || place[c] == BARRED);
        if
        :: done -> place[c] = BARRED
        :: else
        fi
    }
#endif
}

/* StoreGroup::shut_if_empty. Nothing is ever parked behind a shut gate here, so it is open at first. */
inline store_shut_if_empty(c, done) {
    c = 0;
    done = 1;
    do
    :: c < CPUS && done ->
        bar(c, done);
        if
        :: done ->
            atomic {
                if
                :: behind[c] == 0 -> behind_shut[c] = 1
                :: else -> done = 0
                fi
            }
        :: else
        fi;
        c++;
#ifdef MUTATE_FRONTS_ONLY_OF_THE_FIRST
        c = CPUS
#endif
    :: else -> break
    od;
    if
#ifdef MUTATE_UNDO_FORGOTTEN
    :: false
#else
    :: !done -> store_open(c)
#endif
    :: else
    fi
}

inline store_push_behind_gate(c, s) {
    any_cpu(c);
    atomic {
        if
        :: place[c] == EMPTY -> disown(s); place[c] = s
        :: else -> disown(s); behind[c] = behind[c] | bit_of(s)
        fi
    }
}

proctype User(byte self) {
    byte rounds = ROUNDS;
    byte s = NONE;
    byte refused = NONE;
    byte c;
    byte left;
    bit done;
    do
    :: rounds > 0 ->
        /* acquire */
        store_pop(c, s, left);
        do
        :: s == NONE ->
            atomic { mutex == 0 -> mutex = 1 }
            /* A newcomer does not overtake: the gate is shut already where somebody waits. */
            if
            :: len(line) == 0 -> store_shut_if_empty(c, done)
            :: else -> done = 1
            fi;
            if
            :: done -> line!self; mutex = 0; granted[self] != NONE; s = granted[self]; granted[self] = NONE
            :: else -> mutex = 0; store_pop(c, s, left)
            fi
        :: else -> break
        od;
        assert(owners[s] == 1);
        /* return */
        store_push(c, s, refused);
        if
        :: refused != NONE ->
            atomic { mutex == 0 -> mutex = 1 }
            if
            :: len(line) > 0 ->
                line?left;
                granted[left] = refused;
                if
                :: len(line) == 0 -> store_open(c)
                :: else
                fi
            :: else -> store_push_behind_gate(c, refused)
            fi;
            mutex = 0
        :: else
        fi;
        refused = NONE;
        s = NONE;
        rounds--
    :: else -> break
    od
}

init {
    byte i;
    atomic {
        i = 0;
        do
        :: i < SLOTS ->
            if
            :: i < CPUS -> place[i] = i
            :: else -> behind[0] = behind[0] | bit_of(i)
            fi;
            i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < USERS -> run User(i); i++
        :: else -> break
        od
    }
    /* At the end all are idle, each in one place. */
    _nr_pr == 1;
    byte all = 0;
    i = 0;
    do
    :: i < CPUS ->
        assert(!behind_shut[i] && place[i] != BARRED);
        if
        :: holds_slot(place[i]) -> assert(!(all & bit_of(place[i]))); all = all | bit_of(place[i])
        :: else
        fi;
        assert(!(all & behind[i]));
        all = all | behind[i];
        i++
    :: else -> break
    od;
    assert(all == (1 << SLOTS) - 1)
}
