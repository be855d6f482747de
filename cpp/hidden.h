// Included before everything else in each file of the shim, the bridge's
// generated code among them: after the standard headers, which keep their own
// visibility, whatever is declared is hidden. Only Rust's OfxGetPlugin and its
// two sisters leave the shared object.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <iterator>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>
#if __cplusplus >= 202002L
#include <ranges>
#endif

#pragma GCC visibility push(hidden)
