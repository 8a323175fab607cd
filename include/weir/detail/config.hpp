#pragma once
// Version, assertion, constants. Nothing here depends on the rest of weir.

#include <cassert>
#include <cstddef>

/// weir's version: major * 10000 + minor * 100 + patch.
#define WEIR_VERSION 100

/// Checks a precondition. Define it before the first include of weir to use your own;
/// the default is `assert`, so release builds pay nothing.
#ifndef WEIR_ASSERT
#define WEIR_ASSERT(condition) assert(condition)
#endif

namespace weir::detail {

// One cache line on every processor weir is built for. The standard's constant is not used: it may differ between
// two translation units compiled with other flags, and g++ warns of that in headers.
inline constexpr std::size_t cache_line = 64;

// How far apart two things are that different processors write: x86-64 fetches the neighbour of a line with it, and
// some AArch64 have lines of twice the size. With slots 64 bytes apart two threads with 16 leases each took half as
// long again.
inline constexpr std::size_t interference_size = 128;

// The idle count rides in 24 bits of the store's head, so no pool holds more than that.
inline constexpr std::size_t max_slots = (std::size_t{1} << 24) - 1;

template <class T, class...>
struct LateBound {
    using type = T;
};

/// T itself, for a template whose parameter is P: named so, T is compiled with the first pool and not by inclusion.
template <class P, class T>
using Late = typename LateBound<T, P>::type;

}  // namespace weir::detail
