// A line to a database that has none: what is simulated when it is to be out of reach.
#pragma once

#include <atomic>
#include <cstdint>

namespace query_service {

/// Its number is even while it is whole, and changes whenever it is cut or mended: a connection that was made at another
/// number is lost. Thread-safe.
class Line {
public:
    using Number = std::uint64_t;

    Number number() const noexcept { return number_; }
    static bool is_cut(Number number) noexcept { return number % 2 == 1; }

    /// In turns, from one thread.
    void cut() noexcept { ++number_; }
    void mend() noexcept { ++number_; }

private:
    std::atomic<Number> number_ = 0;
};

}  // namespace query_service
