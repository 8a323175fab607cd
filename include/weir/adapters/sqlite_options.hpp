#pragma once
// Which SQLite database to open, and how.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <weir/adapters/session_settings.hpp>

namespace weir::sqlite {

namespace detail {

// ASCII only, whatever the locale.
inline bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
inline bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
inline bool is_word(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(), [](char c) { return is_letter(c) || is_digit(c); });
}
inline bool is_identifier(std::string_view name) noexcept {
    return !name.empty() && is_letter(name.front()) && is_word(name);
}

}  // namespace detail

/// What a connection may do to the database.
enum class Mode {
    read_only,   ///< the file must be there
    read_write,  ///< the file must be there
    create,      ///< as read_write; a file that is missing is made
    memory       ///< no file: each connection has a database of its own, those with a `path` share one of that name
};

/// What a `Connector` opens.
struct Options {
    /// The file; with `Mode::memory` a name of letters, digits and `_`, or nothing. A shared one lasts until its last
    /// connection is closed.
    std::string path{};
    Mode mode = Mode::create;
    /// How long a statement waits for locks of other connections. SQLite by itself does not wait at all.
    std::chrono::milliseconds busy_timeout{5000};
    /// Switches the file to write-ahead logging, in which readers and the one writer do not wait for each other. The
    /// file remembers it: who only reads need not say so.
    bool wal = false;
    /// Whether they are enforced. SQLite by itself does not.
    bool foreign_keys = true;
    /// Set once, as a connection is opened: `{{"synchronous", "normal"}}`.
    adapters::SessionSettings pragmas{};
    /// How many statements a connection keeps prepared: those used last.
    std::size_t statement_cache = 32;

    /// Throws `std::invalid_argument` naming the field that is wrong.
    void validate() const {
        if (path.find('\0') != path.npos)
            throw std::invalid_argument{"weir: sqlite::Options::path must not contain a null"};
        if (mode != Mode::memory && path.empty())
            throw std::invalid_argument{"weir: sqlite::Options::path must not be empty"};
        if (mode == Mode::memory && !detail::is_word(path))
            throw std::invalid_argument{"weir: sqlite::Options::path must be a plain name of a database in memory"};
        if (busy_timeout < busy_timeout.zero())
            throw std::invalid_argument{"weir: sqlite::Options::busy_timeout must not be negative"};
        if (wal && (mode == Mode::read_only || mode == Mode::memory))
            throw std::invalid_argument{"weir: sqlite::Options::wal must be false but for a file that is written"};
        for (auto const& [name, value] : pragmas)
            if (!detail::is_identifier(name) || value.find('\0') != value.npos)
                throw std::invalid_argument{"weir: sqlite::Options::pragmas must have plain names and values"};
        if (std::any_of(pragmas.begin(), pragmas.end(), [](auto const& each) { return each.first == "busy_timeout"; }))
            throw std::invalid_argument{"weir: sqlite::Options::pragmas must leave busy_timeout to the field for it"};
    }
};

/// The PRAGMAs that a setting may name: those that change the connection and nothing else, tell their value, and take it
/// back. Left out is what belongs to the file (`journal_mode`, `user_version`), to the process (`soft_heap_limit`) or to
/// one transaction (`defer_foreign_keys`), and what does not tell or take back its value (`case_sensitive_like`).
inline constexpr std::array<std::string_view, 21> undoable_pragmas{
    "analysis_limit",     "automatic_index",
    "busy_timeout",       "cache_size",
    "cell_size_check",    "checkpoint_fullfsync",
    "foreign_keys",       "fullfsync",
    "journal_size_limit", "ignore_check_constraints",
    "legacy_alter_table", "max_page_count",
    "mmap_size",          "query_only",
    "read_uncommitted",   "recursive_triggers",
    "synchronous",        "reverse_unordered_selects",
    "temp_store",         "threads",
    "trusted_schema",
};

}  // namespace weir::sqlite
