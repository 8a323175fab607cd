#pragma once
// Servers in GoogleTest cases.

#include <gtest/gtest.h>

#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <string>

#include "server.hpp"

namespace weir::test {

/// A test program's one server of a kind, started when it is first asked for and ended with the program. One that does
/// not start is not tried again: each case is told why.
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

/// Cases that need these servers' programs. Where one is missing they are skipped, and say so loudly; with CI in the
/// environment they fail.
template <class... Servers>
class ServerTest : public ::testing::Test {
protected:
    void SetUp() override {
        try {
            (Servers::needs(), ...);
        } catch (ProgramMissing const& missing) {
            if (std::getenv("CI") != nullptr) FAIL() << missing.what();  // NOLINT(concurrency-mt-unsafe)
            std::cerr << "NOT TESTED: " << missing.what() << std::endl;
            GTEST_SKIP() << missing.what();
        }
    }
};

/// Cases that share one server, `server()`, which is up and answers when each begins.
template <class Server>
class SharedServerTest : public ServerTest<Server> {
protected:
    void SetUp() override {
        ServerTest<Server>::SetUp();
        if (!this->IsSkipped() && !this->HasFatalFailure()) server().heal();
    }
    static Server& server() { return shared<Server>(); }
};

}  // namespace weir::test
