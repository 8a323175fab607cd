#pragma once

#include <atomic>
#include <cstddef>
#include <weir/detail/cold_list.hpp>
#include <weir/detail/quota.hpp>
#include <weir/detail/tenant.hpp>

namespace weir::detail {

/// What a core knows that is one of many: about itself, and the way to what they share. Guarded by the core's mutex.
///
/// Where there is no quota it is the head of the others, which opens nothing itself.
template <class Quota = detail::Quota<>, class ColdList = detail::ColdList<>>
struct Tenancy {
    Quota* quota = nullptr;
    ColdList* cold = nullptr;
    Tenant self{};
    bool has_permit = false;               // a place in hand, until the end of the step at the latest
    bool stands = false;                   // in line for the total, or has been granted what it stood for
    bool starving = false;                 // in which line
    bool is_listed = false;                // as having something idle, or about to: else its gate is shut
    bool searched = false;                 // in this step: it is not listed for nothing, as the search would not end
    bool yielded = false;                  // what it had idle: it opens for nobody before it is asked again
    bool vanished = false;                 // closed because it was empty
    bool said_it = false;                  // that it is over
    std::atomic<std::size_t> expected{0};  // so many acquirers ask, or will be back: it waits for them
};

struct NoTenancy {};

}  // namespace weir::detail
