#pragma once
// A core that is one of many, and the head of those.

#include <memory>
#include <type_traits>
#include <utility>
#include <weir/detail/house.hpp>
#include <weir/detail/runner.hpp>

namespace weir::detail {

/// The head of a house has no house: it opens nothing, and ends when all others have.
template <class Conn, class P>
class KeyedRunner : public Runner<Conn, P>, public KeyCore {
    using Base = Runner<Conn, P>;

public:
    using Base::Base;

    /// Makes it one of those, before anybody else knows it. The key lives as long as it does.
    void enter(std::shared_ptr<House<>> house, void const* key) {
        this->introduce();
        house_ = std::move(house);
        this->arbiter_.join(house_->quota, house_->cold, as_key_core(), key);
    }

    /// Makes it their head.
    void lead(std::weak_ptr<House<>> house) {
        this->introduce();
        led_ = std::move(house);
        this->watch_executor();
    }

    void const* key() const noexcept { return this->arbiter_.key(); }

    /// They are the pool's, which outlives any key.
    Lifetime lifetime() { return house_ ? house_->lifetime() : Base::lifetime(); }

    /// It may still be found for a moment.
    bool has_vanished() const noexcept { return this->arbiter_.has_vanished(); }

    using Base::let_go;

    /// Holds back the end of the head for one of the others; false when it has come.
    bool hold() noexcept { return this->arbiter_.hold(Holder::token); }
    void unhold_one() noexcept { this->unhold(Holder::token); }

    bool runs_a_task_here() const { return this->arbiter_.runs_a_task_here(); }

protected:
    ~KeyedRunner() = default;

    void begin_to_watch(boost::asio::execution_context& context) override {
        house_ ? house_->watch(context) : Base::begin_to_watch(context);
    }

    // A `close` hook of another key may not hold up who is here for this one.
    void run_errands(Orders& orders) noexcept { house_->run(orders, Where::on_worker, this); }

private:
    std::shared_ptr<KeyCore> as_key_core() { return {this->shared_from_this(), this}; }

    void permitted(Orders& orders) noexcept final { this->arbiter_.permitted(orders); }
    bool yield(std::chrono::steady_clock::rep limit, bool extra, Orders& orders) noexcept final {
        return this->arbiter_.yield(limit, extra, orders);
    }
    void see_to(Orders& orders, Where where) noexcept final { this->carry_out(orders, where); }

    void context_gone(boost::asio::execution_context& context) noexcept override {
        Base::context_gone(context);
        if (auto const house = led_.lock()) house->context_gone(context);
    }

    std::shared_ptr<House<>> house_;
    std::weak_ptr<House<>> led_;
};

template <class Conn, class P>
using RunnerOf = std::conditional_t<P::is_keyed, KeyedRunner<Conn, P>, Runner<Conn, P>>;

}  // namespace weir::detail
