#pragma once

#include <boost/iterator/indirect_iterator.hpp>
#include <deque>
#include <memory>
#include <utility>
#include <vector>
#include <weir/detail/chain.hpp>

namespace weir::detail {

/// Places by themselves: for who has few, and there are many of those.
template <class Place>
class Apiece {
public:
    template <class... Arguments>
    Place& emplace_back(Arguments&&... arguments) {
        return *places_.emplace_back(std::make_unique<Place>(std::forward<Arguments>(arguments)...));
    }
    auto begin() const noexcept { return boost::make_indirect_iterator(places_.begin()); }
    auto end() const noexcept { return boost::make_indirect_iterator(places_.end()); }

private:
    std::vector<std::unique_ptr<Place>> places_;
};

/// Where nodes live: it grows in chunks, never moves one and never gives memory back before it dies.
/// Guarded by the mutex of whoever has it. A Place is, or derives from, its `Node`, by which it hangs in chains.
template <class Place, class Places = std::deque<Place>>
class Arena {
    using Node = typename Place::Node;

public:
    /// One that nobody uses. Allocates when there is none, and throws `std::bad_alloc` when it cannot.
    template <class... Arguments>
    Place& take(Arguments&&... arguments) {
        if (Node* free = free_.pop()) return static_cast<Place&>(*free);
        return places_.emplace_back(std::forward<Arguments>(arguments)...);
    }

    void put(Node& node) noexcept { free_.push(node); }

    template <class Visit>
    void for_each(Visit visit) {
        for (Place& place : places_) visit(place);
    }
    template <class Visit>
    void for_each(Visit visit) const {
        for (Place const& place : places_) visit(place);
    }

private:
    Places places_;
    BasicChain<Node> free_;
};

}  // namespace weir::detail
