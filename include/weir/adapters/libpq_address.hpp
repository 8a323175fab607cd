#pragma once
// Where a PostgreSQL server is said to be, and what libpq says when nothing comes of it.

#include <libpq-fe.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <cstddef>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <weir/adapters/libpq_result.hpp>

namespace weir::libpq::detail {

/// What to connect with, by keyword.
class Address {
public:
    /// Throws `std::invalid_argument` that names what is wrong.
    Address(std::string const& conninfo, std::vector<std::pair<std::string, std::string>> const& parameters) {
        char* message = nullptr;
        Options const parsed{PQconninfoParse(conninfo.c_str(), &message)};
        if (!parsed) {
            std::unique_ptr<char, void (*)(void*)> const text{message, &PQfreemem};
            if (!text) throw std::bad_alloc{};
            throw std::invalid_argument{"weir: libpq::Options::conninfo: " + one_line(text.get())};
        }
        for (auto const* each = parsed.get(); each->keyword != nullptr; ++each)
            if (each->val != nullptr) values_[each->keyword] = each->val;
        for (auto const& [keyword, value] : parameters) {
            if (!is_known(keyword, *parsed))
                throw std::invalid_argument{"weir: libpq::Options::parameters: unknown keyword '" + keyword + "'"};
            values_[keyword] = value;
        }
    }

    /// Starts to connect. What is wrong with the values shows in the connection's status.
    PGconn* start() const {
        std::vector<char const*> keywords;
        std::vector<char const*> values;
        for (auto const& [keyword, value] : values_) {
            keywords.push_back(keyword.c_str());
            values.push_back(value.c_str());
        }
        keywords.push_back(nullptr);
        values.push_back(nullptr);
        PGconn* const conn = PQconnectStartParams(keywords.data(), values.data(), 0);
        if (conn == nullptr) throw std::bad_alloc{};
        return conn;
    }

    /// Looks up the hosts, which libpq would do in the middle of its non-blocking calls, and blocking. A host of
    /// several addresses becomes several hosts; one without any is passed over. Hosts of a service file are left to
    /// libpq.
    ///
    /// Throws 08001 when no host has an address.
    boost::asio::awaitable<void> resolve() {
        auto effective = values_;
        effective.merge(defaults());
        if (!effective["hostaddr"].empty() || !effective["service"].empty()) co_return;
        auto const hosts = parts(effective["host"]);
        auto const ports = parts(effective["port"]);
        if (hosts.size() > 1 && ports.size() > 1 && hosts.size() != ports.size()) co_return;  // libpq says it better

        boost::asio::ip::tcp::resolver resolver{co_await boost::asio::this_coro::executor};
        std::string names;
        std::string addresses;
        std::string numbers;
        std::string why_not;
        auto const add = [&](std::string const& name, std::string const& address, std::string const& number) {
            bool const first = numbers.empty() && names.empty() && addresses.empty();
            (names += first ? "" : ",") += name;
            (addresses += first ? "" : ",") += address;
            (numbers += first ? "" : ",") += number;
        };
        for (std::size_t i = 0; i < hosts.size(); ++i) {
            auto const& port = ports.size() == 1 ? ports.front() : ports[i];
            if (!is_name(hosts[i])) {
                add(hosts[i], "", port);
                continue;
            }
            boost::system::error_code ec;
            auto const found = co_await resolver.async_resolve(
                hosts[i], "", boost::asio::redirect_error(boost::asio::use_awaitable, ec));
            if (ec == boost::asio::error::operation_aborted) throw boost::system::system_error{ec};
            if (ec) (why_not += why_not.empty() ? "" : "; ") += "no address of '" + hosts[i] + "': " + ec.message();
            for (auto const& each : found) add(hosts[i], each.endpoint().address().to_string(), port);
        }
        if (names.empty() && !why_not.empty()) throw failure("08001", why_not);
        if (addresses.find_first_not_of(',') == addresses.npos) co_return;
        values_["host"] = names;
        values_["hostaddr"] = addresses;
        values_["port"] = numbers;
    }

private:
    struct Free {
        void operator()(PQconninfoOption* options) const noexcept { PQconninfoFree(options); }
    };
    using Options = std::unique_ptr<PQconninfoOption, Free>;

    static bool is_known(std::string_view keyword, PQconninfoOption const& first) noexcept {
        for (auto const* each = &first; each->keyword != nullptr; ++each)
            if (each->keyword == keyword) return true;
        return false;
    }

    // To be looked up: no path, no address, and not nothing.
    static bool is_name(std::string const& host) {
        if (host.empty() || host.front() == '/' || host.front() == '@') return false;
        boost::system::error_code ec;
        boost::asio::ip::make_address(host, ec);
        return ec.failed();
    }

    // What libpq takes for what is not given: of the environment, or its own.
    static std::map<std::string, std::string> defaults() {
        std::map<std::string, std::string> all;
        Options const options{PQconndefaults()};
        if (!options) throw std::bad_alloc{};
        for (auto const* each = options.get(); each->keyword != nullptr; ++each)
            all[each->keyword] = each->val != nullptr ? each->val : "";
        return all;
    }

    static std::vector<std::string> parts(std::string_view list) {
        std::vector<std::string> all;
        for (;;) {
            auto const comma = list.find(',');
            all.emplace_back(list.substr(0, comma));
            if (comma == list.npos) return all;
            list.remove_prefix(comma + 1);
        }
    }

    std::map<std::string, std::string> values_;
};

/// For messages of PQERRORS_VERBOSE: those of a server have a line `FATAL:  28P01: password …`, and one that says where
/// in its source. What is written nowhere but there is taken from there.
inline boost::system::system_error connect_failure(std::string_view text) {
    std::string state = "08001";
    std::string said;
    while (!text.empty()) {
        auto const end = text.find('\n');
        std::string line{text.substr(0, end)};
        text.remove_prefix(end == text.npos ? text.size() : end + 1);
        if (line.starts_with("LOCATION:")) continue;
        constexpr std::size_t digits = 5;
        for (auto at = line.find(":  "); at != line.npos; at = line.find(":  ", at + 1)) {
            std::string const candidate = line.substr(at + 3, digits);
            bool const is_state = candidate.size() == digits && line.substr(at + 3 + digits, 2) == ": " &&
                                  candidate.find_first_not_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == candidate.npos;
            if (!is_state) continue;
            state = candidate;
            line.erase(at + 3, digits + 2);
            break;
        }
        said += line + "\n";
    }
    return failure(state, said);
}

}  // namespace weir::libpq::detail
