#pragma once

#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <string>
#include <system_error>
#include <utility>
#include <weir/error.hpp>

namespace weir::detail {

/// Why an acquire or an attempt failed: a code for those who take codes, and the exception, if there was one, for
/// those who take exceptions.
struct Failure {
    boost::system::error_code code{};
    std::exception_ptr exception{};
    bool is_foreign = false;  // the exception says more than the code does

    /// Of the exception being handled. One that carries no code of its own, or one that says all is well, is
    /// `Errc::connect_failed`.
    static Failure current() noexcept {
        try {
            throw;
        } catch (boost::system::system_error const& e) {
            return {failed(e.code()), std::current_exception()};
        } catch (std::system_error const& e) {
            return {failed(e.code()), std::current_exception()};
        } catch (...) {
            return {Errc::connect_failed, std::current_exception(), true};
        }
    }

    static Failure of(std::exception_ptr exception) noexcept {
        try {
            std::rethrow_exception(std::move(exception));
        } catch (...) {
            return current();
        }
    }

    explicit operator bool() const noexcept { return code.failed() || exception; }

    [[noreturn]] void raise() const {
        if (exception) std::rethrow_exception(exception);
        throw boost::system::system_error{code};
    }

    static boost::system::error_code failed(boost::system::error_code code) noexcept {
        return code.failed() ? code : Errc::connect_failed;
    }

    std::string text() const {
        if (!exception) return code.message();
        try {
            std::rethrow_exception(exception);
        } catch (std::exception const& e) {
            return e.what();
        } catch (...) {
            return "an exception of unknown type";
        }
    }
};

}  // namespace weir::detail
