#pragma once
// Whose rights a server gets.

#include <pwd.h>
#include <unistd.h>

#include <initializer_list>
#include <optional>
#include <vector>

namespace weir::test {

struct Account {
    uid_t user;
    gid_t group;
};

/// Whom a server runs as when root starts it, which most of them refuse: the first of these that there is. Nothing for
/// everybody else, whose servers run as they do.
inline std::optional<Account> account_for(std::initializer_list<char const*> names) {
    if (::geteuid() != 0) return std::nullopt;
    for (char const* name : names) {
        passwd entry{};
        passwd* found = nullptr;
        std::vector<char> text(16384);
        if (::getpwnam_r(name, &entry, text.data(), text.size(), &found) == 0 && found != nullptr)
            return Account{found->pw_uid, found->pw_gid};
    }
    return Account{65534, 65534};  // nobody, on every Linux
}

}  // namespace weir::test
