#pragma once
// Servers in GoogleTest cases.

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "server.hpp"
#include "shared.hpp"

namespace weir::test {

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
