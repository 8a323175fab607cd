#pragma once

#include <boost/intrusive/list.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <weir/detail/deadlines.hpp>
#include <weir/detail/waiter.hpp>

namespace weir::detail {

/// The line: sync and async acquires in one order, first come first served.
///
/// Those whose own connect was started stand in one list, those who may not open now in another, each in the order in
/// which they asked; a connect is started for the first who has none. Async ones are kept by deadline too, for the alarm;
/// threads watch theirs themselves. Every change costs O(1), O(log n) with less time than one before it. Guarded by the
/// core's mutex.
///
/// A template so that it costs nothing to include.
template <class Waiter = detail::Waiter>
class WaitQueue {
public:
    using time_point = typename Waiter::time_point;
    using Place = typename Waiter::Place;

    bool empty() const noexcept { return connecting_.empty() && waiting_.empty(); }
    std::size_t connecting() const noexcept { return connecting_.size(); }
    std::size_t waiting() const noexcept { return waiting_.size(); }

    /// The next to be served: who asked first.
    Waiter& front() noexcept {
        if (connecting_.empty()) return waiting_.front();
        if (waiting_.empty()) return connecting_.front();
        return waiting_.front().ticket < connecting_.front().ticket ? waiting_.front() : connecting_.front();
    }

    /// The first in the order of their numbers who `matches`; those before him have been passed over. Linear.
    template <class Matches>
    Waiter* pass_to(Matches matches) noexcept {
        Waiter* const found = walk([&](Waiter& waiter) { return matches(waiter); });
        if (found) walk([&](Waiter& waiter) { return &waiter == found || (++waiter.passed_over, false); });
        return found;
    }

    /// The first that may not open now.
    Waiter& front_waiting() noexcept { return waiting_.front(); }

    /// The first that has no connect of its own in flight although one was started for it: somebody in front took what
    /// it yielded. Linear in the number of connects in flight.
    Waiter* first_without_attempt() noexcept {
        for (Waiter& waiter : connecting_)
            if (!waiter.attempt) return &waiter;
        return nullptr;
    }

    void join(Waiter& waiter, Place place) noexcept {
        number(waiter);
        insert(waiter, place);
        if (waiter.kind == Waiter::Kind::handler && waiter.deadline != time_point::max()) deadlines_.insert(waiter);
    }

    /// A connect was started for the first that might not open.
    void promote() noexcept { move(waiting_.front(), Place::connecting); }

    /// From one place to another, where it stands by its number.
    void move(Waiter& waiter, Place to) noexcept {
        auto& from = list(waiter.place);
        from.erase(from.iterator_to(waiter));
        insert(waiter, to);
    }

    /// Notes the order in which they ask. He who comes again keeps his number.
    void number(Waiter& waiter) noexcept {
        if (waiter.ticket == 0) waiter.ticket = ++last_ticket_;
    }

    void remove(Waiter& waiter) noexcept {
        auto& from = list(waiter.place);
        from.erase(from.iterator_to(waiter));
        deadlines_.erase(waiter);
        waiter.place = Place::nowhere;
    }

    /// Takes out the first that may not open now.
    Waiter& pop_waiting() noexcept {
        Waiter& waiter = waiting_.front();
        waiting_.pop_front();
        deadlines_.erase(waiter);
        waiter.place = Place::nowhere;
        return waiter;
    }

    /// The async one whose deadline comes first, if it is not after `now`.
    Waiter* first_expired(time_point now) noexcept { return deadlines_.next() > now ? nullptr : deadlines_.first(); }

    time_point next_deadline() const noexcept { return deadlines_.next(); }

    /// Since when the first waits who may not open now.
    std::optional<time_point> oldest_wait() const noexcept {
        return waiting_.empty() ? std::nullopt : std::optional{waiting_.front().since};
    }

    /// One of those waiting for the end of a close, or nullptr.
    Waiter* draining() noexcept { return draining_.empty() ? nullptr : &draining_.front(); }

    /// One of those waiting for no more to be open than may be, or nullptr.
    Waiter* shrinking() noexcept { return shrinking_.empty() ? nullptr : &shrinking_.front(); }

    template <class Visit>
    void for_each(Visit visit) {
        for (auto* from : {&connecting_, &waiting_, &preparing_, &draining_, &shrinking_}) {
            for (auto i = from->begin(); i != from->end();) visit(*i++);  // which may take it out
        }
    }

private:
    using List = boost::intrusive::list<
        Waiter, boost::intrusive::member_hook<Waiter, boost::intrusive::list_member_hook<>, &Waiter::in_line>>;

    // Through the whole line by number, until it is enough.
    template <class Enough>
    Waiter* walk(Enough enough) noexcept {
        auto a = connecting_.begin();
        auto b = waiting_.begin();
        while (a != connecting_.end() || b != waiting_.end()) {
            bool const first = b == waiting_.end() || (a != connecting_.end() && a->ticket < b->ticket);
            Waiter& next = first ? *a++ : *b++;
            if (enough(next)) return &next;
        }
        return nullptr;
    }

    // Newcomers at the end, without a search.
    void insert(Waiter& waiter, Place place) noexcept {
        List& to = list(place);
        auto at = to.end();
        while (at != to.begin() && std::prev(at)->ticket > waiter.ticket) --at;
        to.insert(at, waiter);
        waiter.place = place;
    }

    List& list(Place place) noexcept {
        switch (place) {
            case Place::connecting: return connecting_;
            case Place::waiting: return waiting_;
            case Place::preparing: return preparing_;
            case Place::shrinking: return shrinking_;
            default: return draining_;
        }
    }

    List connecting_;
    List waiting_;
    List preparing_;
    List draining_;
    List shrinking_;
    Deadlines<Waiter> deadlines_;
    std::uint64_t last_ticket_ = 0;
};

}  // namespace weir::detail
