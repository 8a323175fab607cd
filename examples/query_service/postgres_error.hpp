// What libpq says when something fails.
#pragma once

#ifdef WEIR_HAVE_LIBPQ

#include <string_view>

#include "database.hpp"

namespace query_service {

/// The same on one line.
DatabaseError postgres_failure(std::string_view text);

}  // namespace query_service

#endif
