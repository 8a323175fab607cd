// Many threads, many keys, a small total, in both manners of asking; keys are evicted, the pool is cleared, resized and
// at last closed in the middle of it; some closes take longer than is waited for, and in every other round nobody may
// wait. Never more are open than the total, everything is closed once, everybody gets an answer, and nothing is left.

#include "support/stress.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>
#include <weir/keyed_pool.hpp>

namespace {

using namespace std::chrono_literals;
using weir::Errc;
using weir::stress::check;

constexpr std::size_t total = 5;
constexpr std::uint64_t keys = 24;
constexpr auto timeout = 2ms;

struct Book {
    std::atomic<std::size_t> open{0};
    std::atomic<std::size_t> opened{0};
    std::atomic<std::size_t> closed{0};
    std::atomic<std::size_t> destroyed{0};
};

/// Not thread-safe on purpose: two holders at once are a race that ThreadSanitizer sees.
class Conn {
public:
    Conn(Book& book, std::uint64_t key) : book_{&book}, key_{key} {}
    Conn(Conn&& other) noexcept : book_{std::exchange(other.book_, nullptr)}, key_{other.key_}, uses_{other.uses_} {}
    Conn& operator=(Conn&&) = delete;
    ~Conn() {
        if (!book_) return;
        check(closed_, "closed before its end");
        ++book_->destroyed;
        --book_->open;
    }
    void close() {
        check(!std::exchange(closed_, true), "closed once");
        ++book_->closed;
    }
    std::uint64_t key() const { return key_; }
    bool use(std::uint64_t key) { return ++uses_ > 0 && key == key_; }

private:
    Book* book_;
    std::uint64_t key_;
    int uses_ = 0;
    bool closed_ = false;
};

struct Connector {
    Book* book;

    Conn connect(std::uint64_t const& key) {
        check(++book->open <= total, "no more open than the total");
        if (key % 8 == 7 && book->opened.load() % 3 == 0) {
            ++book->opened;
            ++book->closed;
            ++book->destroyed;
            --book->open;
            throw boost::system::system_error{boost::asio::error::connection_refused};
        }
        ++book->opened;
        return Conn{*book, key};
    }
    bool recycle(Conn&) { return true; }
    void close(Conn& conn) {
        if (conn.key() % 6 == 0) std::this_thread::sleep_for(3 * timeout / 2);
        conn.close();
    }
};

using Pool = weir::KeyedPool<std::uint64_t, Conn>;

bool is_expected(boost::system::error_code ec) {
    return ec == Errc::closed || ec == Errc::timed_out || ec == Errc::exhausted || ec == Errc::too_many_waiters ||
           ec == boost::asio::error::connection_refused;
}

void use(weir::Lease<Conn>& lease, std::uint64_t key, weir::stress::Random& random) {
    check(lease->use(key), "lent for its own key");
    if (random.below(8) == 0) std::this_thread::yield();
    if (random.below(6) == 0) lease.discard();
}

void threads(Pool& pool, std::uint64_t seed) {
    weir::stress::Random random{seed};
    while (!pool.closed()) {
        std::uint64_t const key = random.below(keys);
        auto lease = random.below(4) == 0 ? pool.try_acquire(key)
                   : random.below(4) == 0 ? pool.try_acquire_for(key, std::chrono::microseconds{random.below(300)})
                                          : pool.try_acquire_for(key, 60s);
        if (lease)
            use(*lease, key, random);
        else
            check(is_expected(lease.error()), "a refusal that was to be expected");
    }
}

struct Chain {
    Pool& pool;
    weir::stress::Random random;
    std::atomic<int>& running;

    void next(std::shared_ptr<Chain> self) {
        std::uint64_t const key = random.below(keys);
        pool.async_acquire_for(key, random.below(4) == 0 ? 200us : 60'000'000us,
                               [this, self, key](boost::system::error_code ec, weir::Lease<Conn> lease) {
                                   if (lease)
                                       use(lease, key, random);
                                   else
                                       check(is_expected(ec), "an error that was to be expected");
                                   lease = {};
                                   if (ec == Errc::closed)
                                       --running;
                                   else
                                       next(self);
                               });
    }
};

void round(std::uint64_t seed, std::chrono::milliseconds length) {
    Book book;
    boost::asio::io_context io;
    auto work = boost::asio::make_work_guard(io);
    std::vector<std::thread> all;
    {
        std::atomic<int> running{6};
        weir::Watermark const size{.high = 3,
                                   .max_waiters = seed % 2 == 0 ? std::optional<std::size_t>{0} : std::nullopt};
        Pool pool{io.get_executor(),
                  Connector{&book},
                  {.per_key = {.size = size, .connect = {.timeout = timeout}}, .total = total}};
        for (int i = 0; i != 2; ++i) all.emplace_back([&] { io.run(); });
        for (std::uint64_t i = 0; i != 6; ++i) {
            auto chain = std::make_shared<Chain>(Chain{pool, weir::stress::Random{seed + i}, running});
            chain->next(chain);
        }
        for (std::uint64_t i = 0; i != 4; ++i) all.emplace_back([&, i] { threads(pool, seed + 100 + i); });
        weir::stress::Random random{seed + 1000};
        auto const end = std::chrono::steady_clock::now() + length;
        while (std::chrono::steady_clock::now() < end) {
            switch (random.below(6)) {
                case 0: pool.evict(random.below(keys)); break;
                case 1: pool.clear(); break;
                case 2: pool.resize(1 + random.below(total)); break;
                case 3: pool.sweep(); break;
                case 4: pool.for_each([](std::uint64_t, weir::Stats const&) {}); break;
                default: {
                    auto const stats = pool.stats();
                    check(stats.open <= total, "a snapshot shows no more than the total");
                    check(stats.open == stats.connecting + stats.idle + stats.leased + stats.closing, "it adds up");
                }
            }
            std::this_thread::yield();
        }
        check(pool.close(60s), "it ends");
        check(pool.stats().open == 0, "nothing is open");
        while (running > 0) std::this_thread::yield();
        work.reset();
        for (auto& thread : all) thread.join();
    }
    check(book.opened == book.closed && book.opened == book.destroyed && book.open == 0, "everything was closed once");
}

}  // namespace

int main(int argc, char** argv) {
    weir::stress::Until const until{argc, argv};
    std::uint64_t rounds = 0;
    while (!until.over()) round(++rounds * 7919, 100ms);
    return weir::stress::verdict("keyed_pool", rounds);
}
