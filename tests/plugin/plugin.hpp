#pragma once

#include <weir/pool.hpp>

using LockForAMoment = void(weir::detail::Mutex&);
using Use = void(weir::Pool<int>&, int);
