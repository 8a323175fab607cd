/* The handshake of acquirers, returners, connects, a canceller and closers, as include/weir/detail has it.
 *
 * What is one step there is one step here: an operation of the idle store is one 128-bit exchange, so fast acquires
 * and returns come between any two of them, also while somebody holds the mutex. What the mutex protects changes only
 * under it, hence a block that holds it ends where the store is touched next.
 *
 * Everybody acts a bounded number of times, so the graph of states must have no cycle: `run.sh` looks for one, and for
 * a state in which somebody is stuck. Neither found means that every acquire and every close ends, on any schedule.
 * `Monitor` holds the invariants of detail/state.hpp up to every state in which the mutex is free.
 *
 * Left out: patience, `max_waiters`, deadlines of the waiting line's alarm (they end a wait as a cancellation does),
 * recycling. MUTATE_... puts a mistake in, for run.sh to see it found.
 */

/* ---- Configuration. ---------------------------------------------------------------------------------------------- */

#ifndef HIGH
#define HIGH 1              /* slots */
#endif
#ifndef ACQUIRERS
#define ACQUIRERS 3
#endif
#ifndef ROUNDS
#define ROUNDS 1            /* acquires of each acquirer */
#endif
#ifndef MAX_CONCURRENT
#define MAX_CONCURRENT HIGH
#endif
#ifndef CLOSERS
#define CLOSERS 1           /* the first waits as a thread, a second as a handler */
#endif
#ifndef MANNER_0            /* how an acquirer wants to be answered: enum Manner */
#define MANNER_0 waits
#endif
#ifndef MANNER_1
#define MANNER_1 waits
#endif
#ifndef MANNER_2
#define MANNER_2 waits
#endif
/* CANCELS: acquirer 0 may be cancelled. TIMES_OUT: acquirer 1 may give up by itself. DISCARDS: a lease may be discarded.
 * CONNECTS_FAIL, CONNECTS_OVERRUN: connects may. AGES: what is parked must be aged, and is swept. */

#define NONE 7
#define bit_of(x) (1 << (x))

mtype:Manner = { tries, connects_here, waits }
mtype:State = { vacant, opening, parked_, held, closing }
mtype:Place = { nowhere, in_connecting, in_waiting }
mtype:Job = { no_job, connect_job, close_job }
mtype:Answer = { undecided, granted_, in_line, connect_here_, exhausted, failed_ }

/* ---- What is shared. --------------------------------------------------------------------------------------------- */

/* TaggedStackStore: the one word that needs no mutex. */
byte parked;                /* bit s: slot s */
bit gate;                   /* shut? */

/* State: under the mutex. */
bit mutex;
bit closed;                 /* also read without it */
bit ended;
byte open_;
byte connecting;
byte closings;
byte serving;
byte holds;
bit runs;                   /* AgeClock */
bit stands;                 /* StandingLine */
bit draining;               /* an async closer waits */
bit end_told;               /* ... and has been told */
chan line_connecting = [ACQUIRERS] of { byte };
chan line_waiting = [ACQUIRERS] of { byte };

/* SlotBase */
mtype:State state[HIGH] = vacant;
byte owner[HIGH] = NONE;    /* the waiter that its connect was started for */
byte lent_to[HIGH] = NONE;
bit overrun[HIGH];
mtype:Job job[HIGH] = no_job;

/* Waiter */
mtype:Place place[ACQUIRERS] = nowhere;
byte attempt[ACQUIRERS] = NONE;
byte granted[ACQUIRERS] = NONE;
bit failure[ACQUIRERS];
bit delivered[ACQUIRERS];
bit outstanding[ACQUIRERS]; /* its handler has not been called */

/* Orders: what a step leaves to be done without the mutex. */
#define ORDERS byte o_deliver; byte o_connect; byte o_close; bit o_ends; bit here; byte next; byte i; byte w; bit ok

#ifdef CONNECTS_FAIL
#define may_fail true
#else
#define may_fail closed
#endif
#define nobody_in_line (len(line_connecting) + len(line_waiting) == 0)
#define has_room (open_ < HIGH && connecting < MAX_CONCURRENT)
#define live (open_ - closings)
#define may_be_open (nobody_in_line && !closed && (!must_age || runs))
#ifdef AGES
#define must_age (live > 0 && !closed)
#else
#define must_age false
#endif

/* ---- TaggedStackStore -------------------------------------------------------------------------------------------- */

inline lowest(set, which) {
    which = 0;
    do
    :: set & bit_of(which) -> break
    :: else -> which++
    od
}

inline store_push(s, pushed) {
    if
#ifndef MUTATE_PUSH_IGNORES_GATE
    :: gate -> pushed = 0
#endif
    :: else -> store_push_behind_gate(s); pushed = 1
    fi
}

inline store_push_behind_gate(s) {
    assert(state[s] == held && !(parked & bit_of(s)));
    state[s] = parked_;
    lent_to[s] = NONE;
    parked = parked | bit_of(s)
}

inline store_pop(s) {
    if
    :: parked == 0 -> s = NONE
    :: else ->
        lowest(parked, s);
        assert(state[s] == parked_);
        parked = parked & ~bit_of(s);
        state[s] = held
    fi
}

inline store_shut_if_empty(shut) {
    if
#ifndef MUTATE_NO_GATE_RECHECK
    :: parked != 0 -> shut = 0
#endif
    :: else -> gate = 1; shut = 1
    fi
}

/* ---- State: the steps that expect the lock. ---------------------------------------------------------------------- */

inline lock() { mutex == 0 -> mutex = 1 }

inline lend(s, to) {
    assert(state[s] == held && lent_to[s] == NONE);
    lent_to[s] = to
}

inline take_place(s) {
    s = 0;
    do
    :: state[s] == vacant -> break
    :: else -> s++; assert(s < HIGH)
    od
}

inline reserve(s) {
    assert(!closed && !ended && open_ < HIGH && connecting < MAX_CONCURRENT);
    state[s] = opening;
    open_++;
    connecting++
}

inline start_connect(for_whom, s) {
    reserve(s);
    owner[s] = for_whom;
    if
    :: for_whom != NONE -> attempt[for_whom] = s
    :: else
    fi;
    serving++;
    o_connect = o_connect | bit_of(s)
}

/* The first that has no connect of its own in flight: the line is turned round once to find it. */
inline first_without_attempt(who) {
    who = NONE;
    i = len(line_connecting);
    do
    :: i > 0 ->
        line_connecting?w;
        line_connecting!w;
        if
        :: who == NONE && attempt[w] == NONE -> who = w
        :: else
        fi;
        i--
    :: else -> break
    od;
    w = 0
}

inline open_for_waiters(s, who) {
    do
#ifdef MUTATE_OWED_FORGOTTEN
    :: !closed && has_room && len(line_waiting) > 0 ->
#else
    :: !closed && has_room && (serving < len(line_connecting) || len(line_waiting) > 0) ->
#endif
        take_place(s);
        if
#ifndef MUTATE_OWED_FORGOTTEN
        :: serving < len(line_connecting) -> first_without_attempt(who); assert(who != NONE)
#endif
        :: else ->
            line_waiting?who;
            line_connecting!who;
            place[who] = in_connecting
        fi;
        start_connect(who, s)
    :: else -> break
    od;
    s = NONE;
    who = NONE
}

inline end_attempt(s) {
    assert(serving > 0);
    serving--;
    if
    :: owner[s] != NONE -> attempt[owner[s]] = NONE; owner[s] = NONE
    :: else
    fi
}

inline take_out(who) {
    if
    :: place[who] == in_connecting -> line_connecting??eval(who)
    :: else -> line_waiting??eval(who)
    fi;
    place[who] = nowhere;
    if
    :: attempt[who] != NONE -> owner[attempt[who]] = NONE; attempt[who] = NONE
    :: else
    fi
}

inline dismiss(who) {
    take_out(who);
    failure[who] = 1;
    o_deliver = o_deliver | bit_of(who)
}

inline serve_front(s) {
    if
    :: len(line_connecting) > 0 -> line_connecting?<w>
    :: else -> line_waiting?<w>
    fi;
    take_out(w);
    lend(s, w);
    assert(granted[w] == NONE && !failure[w]);
    granted[w] = s;
    o_deliver = o_deliver | bit_of(w);
    w = 0
}

inline begin_close(s) {
    assert(state[s] == held);
    state[s] = closing;
    lent_to[s] = NONE;
    closings++;
    o_close = o_close | bit_of(s)
}

/* Serving::settle_slot */
inline settle_slot(s) {
    lent_to[s] = NONE;
    if
    :: closed -> begin_close(s)
#ifndef MUTATE_REFUSED_RETURN_PARKS
    :: !closed && !nobody_in_line -> serve_front(s)
#endif
    :: else -> store_push_behind_gate(s)
    fi
}

/* Opening::free, without its open_for_waiters */
inline free_slot(s) {
    state[s] = vacant;
    overrun[s] = 0;
    open_--
}

inline settle_end() {
    if
#ifdef MUTATE_END_IGNORES_HOLDS
    :: closed && open_ == 0 ->
#else
    :: closed && open_ == 0 && holds == 0 ->
#endif
        if
        :: draining -> draining = 0; holds++; o_ends = 1
        :: else -> ended = 1
        fi
    :: else
    fi
}

/* Steps::finish, and the end of Steps::Lock: settle_gate, settle_end, unlock. It is the end of the step before it: a
 * gate that it opens has been shut all that time, so a push that was refused in between was as well refused before. */
inline unlock() {
    if
    :: must_age && !runs && parked != 0 -> runs = 1
    :: else
    fi;
#ifdef MUTATE_STANDS_FOR_EVER
    stands = stands || len(line_waiting) > 0;
#else
    stands = len(line_waiting) > 0;
#endif
    if
    :: may_be_open -> gate = 0; settle_end(); mutex = 0
    :: !may_be_open && gate -> settle_end(); mutex = 0
    :: else -> ok = 1
    fi
}

/* The rest of settle_gate, where the clock stands and the gate is open: before it is shut something may be parked. */
inline settle() {
#ifdef AGES
    do
    :: ok ->
        atomic {
            store_shut_if_empty(ok);
            if
            :: ok -> settle_end(); mutex = 0; ok = 0
            :: else -> unlock()
            fi
        }
    :: else -> break
    od
#else
    assert(!ok)
#endif
}

/* ---- Operations -------------------------------------------------------------------------------------------------- */

/* SlotEvents::vacated: a resource has been closed and destroyed. */
inline vacated(s, who) {
    assert(state[s] == closing && !ended);
    closings--;
    free_slot(s);
#ifndef MUTATE_NO_PUMP_AFTER_CLOSE
    open_for_waiters(s, who)
#else
    s = NONE
#endif
}

/* Operations::carry_out. Whoever is delivered to, or given a job, begins with it when he likes: one step for all.
 * `here`: a plain close runs on this thread, else on a worker. Each process has it once, for spin copies it; `next`
 * says where to go on. */
#define then_carry_out(where, going_on) here = where; next = going_on; goto carrying_out
inline carry_out(s, who) {
    settle();
    do
    :: atomic {
        o_deliver != 0 || o_connect != 0 || (!here && o_close != 0) ->
        do
        :: o_deliver != 0 ->
            lowest(o_deliver, who);
            o_deliver = o_deliver & ~bit_of(who);
            assert(outstanding[who] && !delivered[who] && place[who] == nowhere);
            delivered[who] = 1
        :: else -> break
        od;
        do
        :: o_connect != 0 ->
            lowest(o_connect, s);
            o_connect = o_connect & ~bit_of(s);
            job[s] = connect_job
        :: !here && o_close != 0 ->
            lowest(o_close, s);
            o_close = o_close & ~bit_of(s);
            job[s] = close_job
        :: else -> break
        od;
        s = NONE;
        who = NONE
       }
    :: o_ends ->
        /* Arbiter::unhold: the handler that waited for the end has been told */
        atomic { lock(); o_ends = 0; end_told = 1; holds--; unlock() };
        settle()
    :: here && o_close != 0 && o_deliver == 0 && o_connect == 0 ->
        /* Operations::close_here */
        atomic { lock(); lowest(o_close, s); o_close = o_close & ~bit_of(s); vacated(s, who); unlock() };
        settle()
    :: else -> here = 0; break
    od
}

/* Operations::on_own_thread: a worker, one for each slot that may need one. */
proctype Worker(byte me) {
    byte s = NONE; byte who = NONE; ORDERS;
end:
    do
    :: atomic { job[me] == connect_job && mutex == 0 -> job[me] = no_job; assert(!ended); holds++ };
        if
        :: true ->
            /* SlotEvents::connected */
            atomic {
                lock();
                connecting--;
                state[me] = held;
                if
                :: overrun[me] -> overrun[me] = 0; begin_close(me)
                :: else -> end_attempt(me); settle_slot(me)
                fi
            }
        :: may_fail ->
            /* SlotEvents::connect_failed */
            atomic {
                lock();
                if
                :: overrun[me]
                :: else ->
                    who = owner[me];
                    end_attempt(me);
                    if
                    :: who != NONE -> dismiss(who)
                    :: else
                    fi
                fi;
                connecting--;
                free_slot(me)
#ifdef MUTATE_NO_PUMP
                ; who = NONE; unlock(); then_carry_out(true, 1)
#endif
            }
#ifdef CONNECTS_OVERRUN
        :: !overrun[me] ->
            /* Serving::overrun_operations, as Rounds::ring calls it; the connect ends later */
            atomic {
                lock();
                overrun[me] = 1;
                who = owner[me];
                end_attempt(me);
                if
                :: who != NONE -> dismiss(who)
                :: else
                fi;
                job[me] = connect_job
            }
#endif
        fi;
        atomic { open_for_waiters(s, who); unlock(); then_carry_out(true, 1) }
    :: atomic { job[me] == close_job && mutex == 0 -> job[me] = no_job; assert(!ended); holds++; o_close = bit_of(me) };
        /* Operations::close_job */
        atomic { then_carry_out(true, 1) };
carrying_out:
        carry_out(s, who);
        if
        :: next == 1 ->
            /* Arbiter::unhold */
            atomic { lock(); assert(!ended); holds--; unlock(); then_carry_out(false, 0) }
        :: else
        fi
    od
}

/* ---- Core: acquiring and returning. ------------------------------------------------------------------------------ */

inline look(me, s, answer) {
    if
    :: closed -> answer = failed_
    :: else ->
        store_pop(s);
        if
        :: s != NONE -> lend(s, me); answer = granted_
        :: else
        fi
    fi;
    if
    :: answer != undecided -> unlock()
    :: else
    fi
}

/* StandingLine::join_line, and else Arbiter::ask */
inline ask(me, manner, s, answer) {
    atomic {
        lock();
        if
        :: stands && !closed && manner != tries ->
            line_waiting!me;
            place[me] = in_waiting;
            answer = in_line;
            mutex = 0
        :: else -> look(me, s, answer)
        fi
    };
    do
    :: answer == undecided ->
        /* Empty it was; a returner may park something now. */
        atomic {
            if
            :: manner == tries ->
                if
                :: len(line_waiting) == 0 && has_room && serving <= len(line_connecting) ->
                    take_place(s);
                    start_connect(NONE, s);
                    s = NONE
                :: else
                fi;
                answer = exhausted
            :: manner == connects_here && len(line_waiting) == 0 && has_room ->
                take_place(s);
                reserve(s);
                answer = connect_here_
            :: else ->
                ok = 1;
                if
                :: nobody_in_line -> store_shut_if_empty(ok)
                :: else
                fi;
                if
                :: !ok  /* look again */
                :: ok && len(line_waiting) == 0 && has_room ->
                    take_place(s);
                    line_connecting!me;
                    place[me] = in_connecting;
                    start_connect(me, s);
                    s = NONE;
                    answer = in_line
                :: else ->
                    line_waiting!me;
                    place[me] = in_waiting;
                    answer = in_line
                fi;
                ok = 0
            fi;
            if
            :: answer != undecided -> unlock()
            :: else
            fi
        };
        if
        :: answer == undecided -> atomic { look(me, s, answer) }
        :: else
        fi
    :: else -> break
    od;
    settle()
}

/* Arbiter::leave */
inline leave(whom, left) {
    left = 0;
    if
#ifdef MUTATE_CANCEL_TAKES_GRANT
    :: place[whom] == nowhere && granted[whom] != NONE -> failure[whom] = 1
#endif
    :: place[whom] != nowhere -> take_out(whom); failure[whom] = 1; left = 1
    :: else
    fi
}

/* Core::acquire, try_acquire and AsyncWaiter; then Core::release or discard. */
proctype Acquirer(byte me; mtype:Manner manner) {
    byte s = NONE; byte other = NONE; byte who = NONE; byte round; mtype:Answer answer = undecided; bit left; ORDERS;
    do
    :: round < ROUNDS ->
        /* Core::take */
        atomic {
            round++;
            store_pop(s);
            if
            :: s != NONE -> lend(s, me)
            :: else -> outstanding[me] = 1
            fi
        };
        if
        :: s != NONE -> goto leased
        :: else
        fi;
        ask(me, manner, s, answer);
        atomic { then_carry_out(manner == connects_here, 1) };
asked:
        if
        :: answer == in_line ->
            if
            :: atomic { delivered[me] -> delivered[me] = 0 }
#ifdef TIMES_OUT
            :: me == 1 ->
                /* Core::await: its time is up */
                atomic { lock(); leave(me, left); unlock(); then_carry_out(false, 2) };
timed_out:
                if
                :: left
                :: else -> atomic { delivered[me] -> delivered[me] = 0 }
                fi
#endif
            fi;
            atomic {
                assert(place[me] == nowhere && attempt[me] == NONE);
                assert((granted[me] != NONE) != failure[me]);  /* one outcome, and one only */
                s = granted[me];
                granted[me] = NONE;
                failure[me] = 0;
                left = 0
            }
        :: answer == connect_here_ ->
            /* Operations::connect_here */
            if
            :: true ->
                /* SlotEvents::connected_here */
                atomic {
                    lock();
                    connecting--;
                    state[s] = held;
                    if
                    :: closed -> begin_close(s); s = NONE
                    :: !closed -> lend(s, me)
                    :: !closed -> settle_slot(s); s = NONE  /* too late for its own deadline */
                    fi
                }
            :: may_fail ->
                /* SlotEvents::connect_here_failed */
                atomic { lock(); connecting--; free_slot(s); s = NONE }
            fi;
            atomic { open_for_waiters(other, who); unlock(); then_carry_out(true, 3) }
        :: else
        fi;
answered:
        atomic { assert(!delivered[me]); outstanding[me] = 0; answer = undecided };
        if
        :: s == NONE -> goto next_round
        :: else
        fi;
leased:
        assert(state[s] == held && lent_to[s] == me);
        if
        :: true ->
            /* Operations::give_back */
            atomic { store_push(s, ok); if :: ok -> s = NONE :: else fi; ok = 0 };
            if
            :: s == NONE -> goto next_round
            :: else
            fi;
            /* StandingLine::hand_on, and else SlotEvents::come_back */
            atomic {
                lock();
                if
                :: stands && !closed && len(line_connecting) == 0 && len(line_waiting) > 0 ->
                    lent_to[s] = NONE;
                    serve_front(s);
                    mutex = 0
                :: else -> settle_slot(s); unlock()
                fi;
                s = NONE;
                then_carry_out(true, 4)
            }
#ifdef DISCARDS
        :: true ->
            /* SlotEvents::give_up */
            atomic { lock(); begin_close(s); s = NONE; unlock(); then_carry_out(true, 4) }
#endif
        fi;
carrying_out:
        carry_out(other, who);
        if
        :: atomic { next == 1 -> next = 0; goto asked }
#ifdef TIMES_OUT
        :: atomic { next == 2 -> next = 0; goto timed_out }
#endif
        :: atomic { next == 3 -> next = 0; goto answered }
        :: atomic { next == 4 -> next = 0 }
        fi;
next_round:
        skip
    :: else -> break
    od
}

/* ---- Cancelling, sweeping, closing. ------------------------------------------------------------------------------ */

/* AsyncWaiter::Canceller, Core::cancel. No later than its handler: that is the emitter's promise to Asio. */
proctype Canceller(byte whom) {
    byte s = NONE; byte who = NONE; bit left; ORDERS;
end:
    atomic {
        outstanding[whom] && mutex == 0 -> mutex = 1;
        leave(whom, left);
        if
        :: left -> o_deliver = o_deliver | bit_of(whom)
        :: else
        fi;
        left = 0;
        unlock()
    };
    carry_out(s, who)
}

/* Operations::ring and the round of maintenance that it orders. */
proctype Alarm() {
    byte s = NONE; byte who = NONE; byte kept; byte rounds; bit sweeps; ORDERS;
end:
    do
    /* Rounds::ring */
    :: atomic { rounds < 2 && runs && mutex == 0 -> mutex = 1; rounds++; holds++ };
        atomic {
            if
            :: parked == 0 -> runs = 0
            :: else -> sweeps = 1
            fi;
            unlock();
            then_carry_out(false, 1)
        };
rung:
        if
        :: sweeps ->
            /* Operations::sweep_job: since ring's hold was given back the end may have come. */
            atomic {
                mutex == 0;
                sweeps = 0;
                if
                :: ended ->
#ifdef MUTATE_SWEEP_IGNORES_A_REFUSED_HOLD
                    skip
#else
                    goto swept
#endif
                :: else -> holds++
                fi
            };
            /* Rounds::sweep, TaggedStackStore::take_coldest */
            atomic { lock(); kept = parked; parked = 0 };
            if
            :: kept != 0 -> atomic { lowest(kept, s); kept = kept & ~bit_of(s); state[s] = held; begin_close(s); s = NONE }
            :: true
            fi;
            do
            :: kept != 0 ->
                /* TaggedStackStore::restore */
                atomic { if :: parked == 0 -> parked = kept; kept = 0 :: else -> kept = kept | parked; parked = 0 fi }
            :: else -> break
            od;
            atomic { unlock(); then_carry_out(true, 1) }
        :: else
        fi;
swept:
        skip
    :: rounds == 2 -> break
    od;
    goto finished;
carrying_out:
    carry_out(s, who);
    if
    :: next == 1 -> atomic { lock(); assert(holds > 0); holds--; unlock(); then_carry_out(false, 2) }
    :: atomic { next == 2 -> next = 0; goto rung }
    fi;
finished:
    skip
}

/* Pool::close and Pool::async_close */
proctype Closer(bit as_handler) {
    byte s = NONE; byte who = NONE; ORDERS;
    /* Arbiter::close */
    atomic { lock(); ok = closed; closed = 1 };
    atomic {
        if
        :: ok -> ok = 0
        :: else ->
            /* TaggedStackStore::seal */
            do
            :: parked != 0 -> store_pop(s); begin_close(s)
            :: else -> break
            od;
            s = NONE;
#ifndef MUTATE_CLOSE_LEAVES_GATE_OPEN
            gate = 1;
#endif
            do
            :: len(line_connecting) > 0 -> line_connecting?<who>; dismiss(who)
            :: len(line_connecting) == 0 && len(line_waiting) > 0 -> line_waiting?<who>; dismiss(who)
            :: else -> break
            od;
            who = NONE
        fi;
#ifdef MUTATE_CLOSE_LEAVES_GATE_OPEN
        mutex = 0;
#else
        unlock();
#endif
        then_carry_out(false, 1)
    };
carrying_out:
    carry_out(s, who);
    if
    :: as_handler && next == 1 ->
        /* Core::await_end(Waiter&) */
        atomic { lock(); draining = 1; unlock(); then_carry_out(false, 2) }
    :: as_handler && next == 2 -> end_told
    :: else -> ended  /* Arbiter::await_end */
    fi;
    /* Nothing is open, and nothing will be: see the assertions on `ended`. */
    assert(open_ == 0 && closings == 0 && connecting == 0 && parked == 0 && nobody_in_line)
}

/* The invariants of detail/state.hpp, whenever the mutex is free; and bounds, always. */
proctype Monitor() {
end:
    if
    :: atomic { mutex == 0 && !gate && (!nobody_in_line || closed) -> assert(false) }         /* 1 */
    :: atomic { mutex == 0 && must_age && !runs && (parked != 0 || !gate) -> assert(false) }  /* 1 */
    :: atomic { mutex == 0 && !nobody_in_line && parked != 0 -> assert(false) }               /* 2: rule 11 */
    :: atomic { mutex == 0 && len(line_waiting) > 0 && has_room -> assert(false) }            /* 3: rule 11 */
    :: atomic { mutex == 0 && serving < len(line_connecting) && has_room -> assert(false) }   /* 4: rule 11 */
    :: atomic { mutex == 0 && stands && (!gate || parked != 0 || has_room) -> assert(false) } /* 5: rule 11 */
    :: atomic { open_ > HIGH || connecting > MAX_CONCURRENT -> assert(false) }
    :: atomic { ended && (open_ != 0 || parked != 0) -> assert(false) }                       /* rule Z */
    fi
}

init {
    byte n = 0;
    atomic {
        run Monitor();
        do
        :: n < HIGH -> run Worker(n); n++
        :: else -> break
        od;
        run Acquirer(0, MANNER_0);
#if ACQUIRERS > 1
        run Acquirer(1, MANNER_1);
#endif
#if ACQUIRERS > 2
        run Acquirer(2, MANNER_2);
#endif
#ifdef CANCELS
        run Canceller(0);
#endif
#ifdef AGES
        run Alarm();
#endif
#if CLOSERS > 0
        run Closer(0);
#endif
#if CLOSERS > 1
        run Closer(1);
#endif
    }
}
