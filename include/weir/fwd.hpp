#pragma once
// Declarations, and the one place that says which policy a slot has by default.

#include <weir/policy/slots.hpp>

namespace weir {

template <class Conn>
class Lease;
template <class Conn, class... Policies>
class Pool;
template <class Conn, class... Policies>
class SharedPool;
template <class Key, class Conn, class... Policies>
class KeyedPool;

template <class T>
class ObjectPool;
class BufferPool;

class Lifetime;
struct ConnectContext;
struct ConnectFailure;
struct Stats;
struct ObjectStats;
struct ObjectPoolOptions;
struct BufferPoolOptions;

struct Watermark;
struct Multiplex;
struct IdleCache;
struct Fifo;
struct ConnectOnce;
struct NoUpkeep;
struct ReleaseOnDrop;
struct NoSettings;
struct TaggedStack;
template <class Store>
struct PerCpu;
struct Silent;
struct SteadyClock;
struct NoTrace;

namespace detail {

// clang-format off
template <class Slot> struct DefaultPolicy;
template <> struct DefaultPolicy<slot::Sizing> { using type = Watermark; };
template <> struct DefaultPolicy<slot::Idle> { using type = IdleCache; };
template <> struct DefaultPolicy<slot::Waiting> { using type = Fifo; };
template <> struct DefaultPolicy<slot::Connecting> { using type = ConnectOnce; };
template <> struct DefaultPolicy<slot::Upkeep> { using type = NoUpkeep; };
template <> struct DefaultPolicy<slot::Drop> { using type = ReleaseOnDrop; };
template <> struct DefaultPolicy<slot::Settings> { using type = NoSettings; };
template <> struct DefaultPolicy<slot::Store> { using type = PerCpu<TaggedStack>; };
template <> struct DefaultPolicy<slot::Observer> { using type = Silent; };
template <> struct DefaultPolicy<slot::Clock> { using type = SteadyClock; };
template <> struct DefaultPolicy<slot::Trace> { using type = NoTrace; };
// clang-format on

}  // namespace detail
}  // namespace weir
