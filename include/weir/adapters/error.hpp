#pragma once
// How adapters throw what the library they adapt has said.

#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <string>
#include <utility>

namespace weir::adapters {

/// An error of a library or a server: the code for programs, and in `what()` just its text, for people.
class Error : public boost::system::system_error {
public:
    Error(boost::system::error_code code, std::string text) : system_error{code}, text_{std::move(text)} {}

    char const* what() const noexcept override { return text_.c_str(); }

private:
    std::string text_;
};

}  // namespace weir::adapters
