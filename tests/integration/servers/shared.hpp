#pragma once

#include <exception>
#include <memory>

namespace weir::test {

/// A program's one server of a kind, started when it is first asked for and ended with the program. One that does
/// not start is not tried again: each who asks is told why.
template <class Server>
Server& shared() {
    struct Only {
        Only() {
            try {
                server = std::make_unique<Server>();
            } catch (...) {
                failure = std::current_exception();
            }
        }
        std::unique_ptr<Server> server;
        std::exception_ptr failure;
    };
    static Only only;
    if (only.failure) std::rethrow_exception(only.failure);
    return *only.server;
}

}  // namespace weir::test
