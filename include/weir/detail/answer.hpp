#pragma once

#include <boost/system/error_code.hpp>
#include <weir/error.hpp>

namespace weir::detail {

/// How an acquirer wants to be answered.
enum class Manner {
    tries,          // now or never
    connects_here,  // may wait, and opens on its own thread
    waits,          // may wait, and others open for it
};

/// What an acquirer is told.
enum class Answer {
    granted,       // here it is
    in_line,       // wait for a deliver
    connect_here,  // open the granted slot
    ask_again,     // something has changed
    would_wait,    // nothing has been done: say so first
    failed,        // the connect that was made for it
    closed,
    vanished,  // the key's core has ended, as it was empty: look for another
    timed_out,
    rejected,
    exhausted,
};

/// What an acquirer is told who is refused.
inline boost::system::error_code error_of(Answer answer) noexcept {
    switch (answer) {
        case Answer::vanished: return {};
        case Answer::closed: return Errc::closed;
        case Answer::timed_out: return Errc::timed_out;
        case Answer::rejected: return Errc::too_many_waiters;
        default: return Errc::exhausted;
    }
}

}  // namespace weir::detail
