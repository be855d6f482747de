#include "memory.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

namespace emulation {
namespace {

struct Block {
  std::size_t bytes;
  Context *context;
};

std::map<std::uintptr_t, Block> blocks;
std::map<std::uintptr_t, std::size_t> pinned;
std::size_t in_use;

constexpr std::size_t guard = 256;

void check_guard(const unsigned char *at, const char *side) {
  for (std::size_t i = 0; i < guard; ++i)
    if (at[i] != 0xA5) {
      std::fprintf(stderr, "emulation: a kernel wrote %s of its memory\n",
                   side);
      std::abort();
    }
}

template <class Map> auto holding(Map &map, std::uintptr_t address) {
  auto next = map.upper_bound(address);
  return next == map.begin() ? map.end() : --next;
}

} // namespace

long setting(const char *name, long otherwise) {
  const char *text = std::getenv(name);
  return text && *text ? std::atol(text) : otherwise;
}

std::size_t memory_total() {
  return (std::size_t)setting("LONGTAKE_EMULATION_MEMORY", 4L << 30);
}

std::size_t memory_used() { return in_use; }

Result allocate(std::uintptr_t *out, std::size_t bytes) {
  if (bytes == 0)
    return invalid_value;
  if (in_use + bytes > memory_total())
    return out_of_memory;
  const std::size_t rounded = (bytes + 255) / 256 * 256;
  auto *memory = (unsigned char *)std::aligned_alloc(256, rounded + 2 * guard);
  if (!memory)
    return out_of_memory;
  std::memset(memory, 0xA5, rounded + 2 * guard);
  std::memset(memory + guard, 0xff, bytes);
  *out = (std::uintptr_t)(memory + guard);
  blocks[*out] = Block{bytes, bound};
  in_use += bytes;
  return success;
}

Result release(std::uintptr_t address) {
  const auto found = blocks.find(address);
  if (found == blocks.end())
    return invalid_value;
  auto *memory = (unsigned char *)address;
  check_guard(memory - guard, "in front");
  check_guard(memory + found->second.bytes, "behind the end");
  in_use -= found->second.bytes;
  blocks.erase(found);
  std::free(memory - guard);
  return success;
}

bool inside(std::uintptr_t address, std::size_t bytes, std::size_t rows,
            std::size_t pitch) {
  const auto found = holding(blocks, address);
  return rows > 0 && found != blocks.end() && found->second.context == bound &&
         address + (rows - 1) * pitch + bytes <=
             found->first + found->second.bytes;
}

Context *owner(std::uintptr_t address) {
  const auto found = holding(blocks, address);
  return found != blocks.end() && address < found->first + found->second.bytes
             ? found->second.context
             : nullptr;
}

Result allocate_host(void **out, std::size_t bytes) {
  if (bytes == 0)
    return invalid_value;
  *out = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!*out)
    return out_of_memory;
  pinned[(std::uintptr_t)*out] = bytes;
  return success;
}

Result release_host(void *memory) {
  const auto found = pinned.find((std::uintptr_t)memory);
  if (found == pinned.end())
    return invalid_value;
  if (is_awaited(found->first, found->second)) {
    std::fprintf(stderr,
                 "emulation: host memory was freed that a copy still needs\n");
    std::abort();
  }
  pinned.erase(found);
  std::free(memory);
  return success;
}

bool is_pinned(std::uintptr_t address, std::size_t bytes) {
  const auto found = holding(pinned, address);
  return found != pinned.end() &&
         address + bytes <= found->first + found->second;
}

} // namespace emulation
