#pragma once
// What watches this program: g++ says it by macros, clang by features.

#ifdef __has_feature
#define WEIR_TEST_HAS_FEATURE(feature) __has_feature(feature)
#else
#define WEIR_TEST_HAS_FEATURE(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || WEIR_TEST_HAS_FEATURE(address_sanitizer)
#define WEIR_TEST_UNDER_ASAN 1
#else
#define WEIR_TEST_UNDER_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__) || WEIR_TEST_HAS_FEATURE(thread_sanitizer)
#define WEIR_TEST_UNDER_TSAN 1
#else
#define WEIR_TEST_UNDER_TSAN 0
#endif
