#include "postgres_error.hpp"

#ifdef WEIR_HAVE_LIBPQ

#include <algorithm>
#include <boost/system/error_code.hpp>
#include <string>

namespace query_service {

namespace {

class PgCategory final : public boost::system::error_category {
public:
    char const* name() const noexcept override { return "postgres"; }
    std::string message(int) const override { return "PostgreSQL failed"; }
};

}  // namespace

DatabaseError postgres_failure(std::string_view text) {
    static PgCategory const category;
    std::string line;
    // libpq writes several, some indented, and breaks the last one, too.
    while (!text.empty()) {
        auto const end = std::min(text.find('\n'), text.size());
        auto const begin = std::min(text.find_first_not_of(" \t\n"), end);
        if (begin < end) {
            line += (line.empty() ? "" : "; ") + std::string(text.substr(begin, end - begin));
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return {boost::system::error_code{1, category}, line};
}

}  // namespace query_service

#endif
