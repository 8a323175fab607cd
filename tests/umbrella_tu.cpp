// The whole library once more, in a second translation unit of the test binary: what a header defines
// without `inline` fails to link here. Instantiating the class as a whole compiles every member that
// is not a template, used by a test or not. Also compiled with -fno-rtti.
#include <weir/testing/interleave.hpp>
#include <weir/testing/manual_clock.hpp>
#include <weir/weir.hpp>

template class weir::Pool<int>;
template class weir::Lease<int>;
template class weir::ObjectPool<int>;
