/* A thread's own slot, as include/weir/detail/thread_slot.hpp has it: an owner without fences, and visitors.
 *
 * The owner's stores to `top_` go through a store buffer, as they do in a processor: others see them later, and he may
 * look at `claim_` before. `heavy_fence` empties it, as membarrier(2) has the owner's processor do; so does every
 * exchange of the owner's own. His stores to the items come before the store to `top_` that lets others read them
 * (release), so they need no buffer.
 *
 * Checked: an object has one owner at a time, none is lost, and nobody touches the slot when everything has gone, with
 * the last object and the handle. Everybody acts a bounded number of times, so whoever is stuck is found as a state
 * without a way on. MUTATE_... puts a mistake in, for run.sh to see it found.
 */

#ifndef OBJECTS
#define OBJECTS 2
#endif
#ifndef STEPS
#define STEPS 3             /* of the owner: a take or a put each */
#endif
#ifndef ROBBERS
#define ROBBERS 1
#endif
#ifndef TRIMS
#define TRIMS 1
#endif

mtype = { mine, visited, away, barred };

#define NONE OBJECTS
#define MARK 8              /* a bit of top: the owner is at work */

mtype claim = mine;
byte top;                   /* as others see it: how many items there are, and the mark */
byte items[OBJECTS];
byte owners[OBJECTS];       /* how many think that it is theirs */
chan buffer = [3] of { byte };
byte latest;                /* what the owner has stored last */

byte elsewhere;             /* bit s: object s, in the depot */
bit sealed;                 /* nothing comes into the depot any more */
byte users = OBJECTS + TRIMS + 1;   /* objects, trims, and the handle */
byte ended;                 /* of all but the store buffer */
byte acquiring;
bit closing;                /* the handle's end: nobody acquires, though leases may come back */

#define alive() assert(users > 0)
#define bit_of(x) (1 << (x))

inline own(s) { owners[s]++; assert(owners[s] == 1) }
inline disown(s) { assert(owners[s] == 1); owners[s]-- }
inline destroy(s) { atomic { disown(s); owners[s] = 9; users-- } }

/* A step of the owner's processor that nobody sees. */
inline store_top(value) {
    atomic { nfull(buffer); buffer!value; latest = value }
}

active proctype StoreBuffer() {
    byte value;
    do
    :: atomic { buffer?value -> alive(); top = value }
    :: atomic { ended == ROBBERS + TRIMS + 2 && empty(buffer) -> break }
    od
}

/* All steps of one instruction. */
inline empty_buffer() {
    do
    :: nempty(buffer) -> alive(); buffer?top
    :: empty(buffer) -> break
    od
}

inline put_elsewhere(s) {
    atomic {
        if
        :: !sealed -> disown(s); elsewhere = elsewhere | bit_of(s); s = NONE
        :: else
        fi
    }
    if
    :: s != NONE -> destroy(s)
    :: else
    fi;
    s = NONE
}

inline take_elsewhere(s) {
    atomic {
        s = 0;
        do
        :: s < OBJECTS && !(elsewhere & bit_of(s)) -> s++
        :: else -> break
        od;
        if
        :: s < OBJECTS -> elsewhere = elsewhere & ~bit_of(s); own(s)
        :: else -> s = NONE
        fi
    }
}

/* ThreadSlot::enter */
inline enter(t, in) {
#ifdef MUTATE_LOOKS_BEFORE_IT_MARKS
    atomic { alive(); in = (claim == mine) }
    if
    :: in -> store_top(t | MARK)
    :: else
    fi
#else
#ifndef MUTATE_DOES_NOT_MARK
    store_top(t | MARK);
#endif
    atomic { alive(); in = (claim == mine) }
    if
    :: !in -> store_top(t)
    :: else
    fi
#endif
}

/* ThreadSlot::usable */
inline come_back() {
    if
    :: claim == away ->
#ifdef MUTATE_COMES_BACK_TOO_SOON
        atomic { alive(); empty_buffer(); if :: claim == away -> claim = mine :: else fi }
        store_top(0)
#else
        store_top(0);
        atomic { alive(); empty_buffer(); if :: claim == away -> claim = mine :: else fi }
#endif
    :: else
    fi
}

proctype Owner() {
    byte held = NONE;
    byte t;
    bit in;
    byte steps = STEPS;
    do
    :: steps > 0 ->
        steps--;
        if
        :: held == NONE ->  /* acquire */
            atomic { if :: closing -> break :: else -> acquiring++ fi }
            t = latest;
            in = 0;
            if
            :: (t & 7) > 0 -> enter(t, in)
            :: else
            fi;
            if
            :: in ->
                atomic { alive(); held = items[t - 1]; own(held) }
                store_top(t - 1)
            :: else ->
                come_back();
                atomic { empty_buffer() }
                take_elsewhere(held)
            fi;
            acquiring--
        :: else ->          /* release */
            t = latest;
            enter(t, in);
            if
            :: in ->
                atomic { alive(); disown(held); items[t] = held; held = NONE }
                store_top(t + 1);
#ifdef MUTATE_LOOKS_AGAIN_AT_THE_END
                alive()
#endif
            :: else ->
                come_back();
                atomic { empty_buffer() }
                put_elsewhere(held)
            fi
        fi
    :: else -> break
    od;
    if
    :: held != NONE ->
        atomic { empty_buffer() }
        put_elsewhere(held)
    :: else
    fi;
    ended++
}

inline heavy_fence() {
#ifndef MUTATE_NO_HEAVY_FENCE
    atomic { empty_buffer() }
#else
    skip
#endif
}

/* The visitor takes what is there: bit s of `loot`. */
inline take_all(i, n, loot) {
    alive();
    n = top & 7;
    i = 0;
    do
    :: i < n -> own(items[i]); loot = loot | bit_of(items[i]); i++
    :: else -> break
    od
}

inline next_of(loot, s) {
    s = 0;
    do
    :: loot & bit_of(s) -> loot = loot & ~bit_of(s); break
    :: else -> s++
    od
}

/* Another thread's acquire. */
proctype Robber() {
    byte i;
    byte n = 0;
    byte s;
    byte loot = 0;
    atomic {
        if
        :: claim == mine && !closing -> claim = visited; n = 1; acquiring++
        :: else
        fi
    }
    if
    :: n == 1 ->
        heavy_fence();
        if
#ifndef MUTATE_DOES_NOT_LOOK
        :: top & MARK -> claim = mine
#endif
        :: else ->
            take_all(i, n, loot);
#ifdef MUTATE_GIVES_BACK_ITSELF
            top = 0;
            claim = mine;
#else
            claim = away;
#endif
            do
            :: loot > 0 -> atomic { next_of(loot, s) } put_elsewhere(s)
            :: else -> break
            od
        fi;
        acquiring--
    :: else
    fi;
    ended++
}

proctype Trimmer() {
    byte i;
    byte n = 0;
    byte s;
    byte loot = 0;
    atomic { if :: claim == mine -> claim = visited; n = 1 :: else fi }
    if
    :: n == 1 ->
        heavy_fence();
        !(top & MARK);
        take_all(i, n, loot);
        /* It moves them while it is there. */
        do
        :: loot > 0 -> atomic { next_of(loot, s) } put_elsewhere(s)
        :: else -> break
        od;
        claim = away
    :: else
    fi;
    users--;
    ended++
}

proctype Closer() {
    byte i;
    byte n = 0;
    byte s;
    byte loot = 0;
    atomic { acquiring == 0 -> closing = 1 }
    /* ThreadSlots::bar, which waits for other visitors. */
    do
    :: atomic { claim == mine -> claim = visited; n = 1; break }
    :: atomic { claim == away -> claim = barred; break }
    od;
    if
    :: n == 1 ->
        heavy_fence();
        !(top & MARK);
        take_all(i, n, loot);
        do
        :: loot > 0 -> atomic { next_of(loot, s) } destroy(s)
        :: else -> break
        od;
        alive();
        claim = barred
    :: else
    fi;
    atomic { sealed = 1; loot = elsewhere; elsewhere = 0 }
    do
    :: loot > 0 -> atomic { next_of(loot, s); own(s) } destroy(s)
    :: else -> break
    od;
    users--;
    ended++
}

init {
    byte i;
    atomic {
        i = 0;
        do
        :: i < OBJECTS -> items[i] = i; i++
        :: else -> break
        od;
        top = OBJECTS;
        latest = OBJECTS;
        run Owner();
        i = 0;
        do
        :: i < ROBBERS -> run Robber(); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < TRIMS -> run Trimmer(); i++
        :: else -> break
        od;
        run Closer()
    }
    ended == ROBBERS + TRIMS + 2;
    assert(users == 0)
}
