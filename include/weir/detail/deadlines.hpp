#pragma once

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>
#include <weir/detail/deadline.hpp>

namespace weir::detail {

/// Waiters by their deadlines.
///
/// Most have as much time as those before them, so who comes last is the last in this order too: that is a list. Who has
/// less time than one in the list goes to a tree. Every change costs O(1) there, O(log n) here. Guarded by the core's
/// mutex.
template <class Waiter>
class Deadlines {
public:
    using time_point = typename Waiter::time_point;

    void insert(Waiter& waiter) noexcept {
        if (in_turn_.empty() || in_turn_.back().deadline <= waiter.deadline)
            in_turn_.push_back(waiter);
        else
            sooner_.insert(waiter);
    }

    /// It may be none of them.
    void erase(Waiter& waiter) noexcept {
        if (waiter.in_turn.is_linked())
            in_turn_.erase(in_turn_.iterator_to(waiter));
        else if (waiter.by_deadline.is_linked())
            sooner_.erase(sooner_.iterator_to(waiter));
    }

    /// The one whose deadline comes first, or nullptr.
    Waiter* first() noexcept {
        Waiter* const one = in_turn_.empty() ? nullptr : &in_turn_.front();
        Waiter* const other = sooner_.empty() ? nullptr : &*sooner_.begin();
        return !other || (one && one->deadline <= other->deadline) ? one : other;
    }

    /// When that is.
    time_point next() const noexcept {
        auto const one = in_turn_.empty() ? time_point::max() : in_turn_.front().deadline;
        return sooner_.empty() ? one : earlier(one, sooner_.begin()->deadline);
    }

private:
    struct Sooner {
        bool operator()(Waiter const& a, Waiter const& b) const noexcept { return a.deadline < b.deadline; }
    };

    boost::intrusive::list<
        Waiter, boost::intrusive::member_hook<Waiter, boost::intrusive::list_member_hook<>, &Waiter::in_turn>,
        boost::intrusive::constant_time_size<false>>
        in_turn_;
    boost::intrusive::multiset<
        Waiter, boost::intrusive::member_hook<Waiter, boost::intrusive::set_member_hook<>, &Waiter::by_deadline>,
        boost::intrusive::compare<Sooner>>
        sooner_;
};

}  // namespace weir::detail
