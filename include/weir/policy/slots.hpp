#pragma once
// The questions a pool asks, one tag each. A policy names the one it answers:
// `using policy_slot = weir::slot::Sizing;`

/// The places a policy can take in `weir::Pool<Conn, Policies...>`, one policy at most in each.
namespace weir::slot {

struct Sizing;      // how many resources, how many waiters
struct Idle;        // which idle ones to keep, and how long
struct Waiting;     // how long to wait, in which order
struct Connecting;  // how long and how many at once
struct Upkeep;      // how old, how healthy
struct Drop;        // what a lease does when it goes out of scope
struct Settings;    // which resources are interchangeable
struct Store;       // where the idle ones lie
struct Observer;    // who is told
struct Clock;       // what time it is
struct Trace;       // who is called between two steps, in tests

}  // namespace weir::slot
