// Device memory of the emulation: the CPU's, with guards on both sides that are
// looked at when it is freed, and not-a-number at first. Each block belongs to
// a context and is of no use in another.

#pragma once

#include "queue.h"

namespace emulation {

using Result = int;
constexpr Result success = 0, invalid_value = 1, out_of_memory = 2,
                 invalid_context = 201, invalid_handle = 400, not_ready = 600,
                 launch_failed = 719;

// Bytes of device memory, and of it in use.
std::size_t memory_total();
std::size_t memory_used();

Result allocate(std::uintptr_t *out, std::size_t bytes);
Result release(std::uintptr_t address);
// Whether rows of `bytes`, `pitch` apart, lie in device memory of the bound
// context.
bool inside(std::uintptr_t address, std::size_t bytes, std::size_t rows = 1,
            std::size_t pitch = 0);
// The context of the memory at an address, null where it is no device memory.
Context *owner(std::uintptr_t address);

Result allocate_host(void **out, std::size_t bytes);
Result release_host(void *memory);
// Whether this is host memory that the driver lent.
bool is_pinned(std::uintptr_t address, std::size_t bytes);

long setting(const char *name, long otherwise);

} // namespace emulation
