#pragma once
/// All of weir but the adapters and what is for tests.

#include <weir/buffer_pool.hpp>
#include <weir/connector.hpp>
#include <weir/error.hpp>
#include <weir/fwd.hpp>
#include <weir/keyed_pool.hpp>
#include <weir/lease.hpp>
#include <weir/lifetime.hpp>
#include <weir/object_pool.hpp>
#include <weir/policy/clock.hpp>
#include <weir/policy/concepts.hpp>
#include <weir/policy/connecting.hpp>
#include <weir/policy/drop.hpp>
#include <weir/policy/idle.hpp>
#include <weir/policy/observer.hpp>
#include <weir/policy/settings.hpp>
#include <weir/policy/sizing.hpp>
#include <weir/policy/slots.hpp>
#include <weir/policy/store.hpp>
#include <weir/policy/trace.hpp>
#include <weir/policy/upkeep.hpp>
#include <weir/policy/waiting.hpp>
#include <weir/pool.hpp>
#include <weir/shared_pool.hpp>
#include <weir/stats.hpp>
