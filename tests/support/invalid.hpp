#pragma once
// Options that a pool's constructor must refuse, or must not.

#include <gtest/gtest.h>
#include <stdexcept>
#include <string>
#include <weir/testing/fake_connector.hpp>

namespace weir::test {

/// The constructor throws `std::invalid_argument`, the name of the field stands in the text, and nothing was opened.
template <class Pool>
void expect_refused(typename Pool::Options options, std::string const& field) {
    testing::FakeConnector connector;
    try {
        Pool const pool{connector, std::move(options)};
        ADD_FAILURE() << "took a bad value of " << field;
    } catch (std::invalid_argument const& error) {
        EXPECT_NE(std::string{error.what()}.find(field), std::string::npos)
            << "does not name " << field << ": " << error.what();
    }
    EXPECT_EQ(connector.opened(), 0u);
}

template <class Pool>
void expect_accepted(typename Pool::Options options) {
    testing::FakeConnector connector;
    EXPECT_NO_THROW((Pool{connector, std::move(options)}));
}

}  // namespace weir::test
