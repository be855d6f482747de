// Small products of matrices by the tensor cores of sm_80 and newer, and what
// feeds them: a warp's 32 threads hold parts of the matrices and work together.
// PTX ISA, mma.sync.m16n8k16, ldmatrix, cp.async. In the emulation the threads
// of a warp lay their parts down for each other.

#pragma once

#include "number.cuh"

// Eight numbers of 16 bits, 16 bytes: what is copied and loaded at once.
struct alignas(16) Chunk {
  u16 v[8];
};

#ifdef LONGTAKE_EMULATION

#include <vector>

namespace emulation {
// Lets every thread of the warp see `v` of every other.
struct Shown {
  template <class T> explicit Shown(T v) {
    static_assert(sizeof(T) == 8, "a slot");
    std::memcpy(slot(lane()), &v, 8);
    warp_barrier();
    for (unsigned l = 0; l < 32; ++l)
      std::memcpy(&of[l], slot(l), 8);
    warp_barrier();
  }
  u64 of[32];
};
} // namespace emulation

namespace emulation {
// A copy that a thread asked for.
struct Copy {
  Chunk *to;
  const void *from;
  bool there;
  void land() const {
    if (there)
      std::memcpy(to, from, sizeof(Chunk));
    else
      std::memset(to, 0, sizeof(Chunk));
  }
};
// What each thread of a block has asked for and not seen arrive, by what
// belongs together; the last is still open.
static std::vector<std::vector<Copy>> copies[1024];
} // namespace emulation

// Copies 16 bytes to shared memory, or zeros; done when waited for. Every other
// one arrives at once, the rest as late as it may.
static inline void copy_chunk(Chunk *to, const void *from, bool there) {
  static unsigned number;
  const emulation::Copy copy{to, from, there};
  auto &own = emulation::copies[threadIdx.x];
  if (own.empty())
    own.emplace_back();
  if (number++ % 2)
    copy.land();
  else
    own.back().push_back(copy);
}
static inline void end_of_copies() {
  auto &own = emulation::copies[threadIdx.x];
  if (own.empty())
    own.emplace_back();
  own.emplace_back();
}
template <int LEFT> static inline void wait_for_copies() {
  auto &own = emulation::copies[threadIdx.x];
  while (own.size() > LEFT + 1) {
    for (const emulation::Copy &copy : own.front())
      copy.land();
    own.erase(own.begin());
  }
}

static inline void load_four(u32 (&to)[4], const Chunk *row) {
  const emulation::Shown rows((u64)row);
  const unsigned lane = emulation::lane();
  for (unsigned m = 0; m < 4; ++m)
    std::memcpy(&to[m],
                ((const Chunk *)rows.of[8 * m + lane / 4])->v + 2 * (lane % 4),
                4);
}
static inline void load_four_turned(u32 (&to)[4], const Chunk *row) {
  const emulation::Shown rows((u64)row);
  const unsigned lane = emulation::lane();
  for (unsigned m = 0; m < 4; ++m) {
    const unsigned first = 8 * m + 2 * (lane % 4);
    const u32 low = ((const Chunk *)rows.of[first])->v[lane / 4];
    const u32 high = ((const Chunk *)rows.of[first + 1])->v[lane / 4];
    to[m] = low | high << 16;
  }
}

template <class T>
static inline void multiply_add(float (&c)[4], const u32 (&a)[4], u32 b0,
                                u32 b1) {
  const emulation::Shown left(a[0] | (u64)a[2] << 32);
  const emulation::Shown left_below(a[1] | (u64)a[3] << 32);
  const emulation::Shown right(b0 | (u64)b1 << 32);
  const unsigned g = emulation::lane() / 4, t = emulation::lane() % 4;
  const auto number = [](u64 all, unsigned k) {
    const u64 half = k < 8 ? all : all >> 32;
    return widen(T{(u16)(half >> 16 * (k % 2))});
  };
  for (unsigned i = 0; i < 4; ++i) {
    const emulation::Shown &rows = i < 2 ? left : left_below;
    const unsigned column = 2 * t + i % 2;
    for (unsigned k = 0; k < 16; ++k) {
      const unsigned pair = k % 8 / 2;
      c[i] += number(rows.of[4 * g + pair], k) *
              number(right.of[4 * column + pair], k);
    }
  }
}

static inline float power_of_two(float v) { return std::exp2(v); }

#else

// Copies 16 bytes to shared memory, or zeros; done when waited for.
static __device__ __forceinline__ void copy_chunk(Chunk *to, const void *from,
                                                  bool there) {
  const unsigned at = (unsigned)__cvta_generic_to_shared(to);
  const int bytes = there ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at),
               "l"(from), "r"(bytes)
               : "memory");
}
// What was asked for up to here belongs together.
static __device__ __forceinline__ void end_of_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Waits until all but the last LEFT that belong together are there, for this
// thread.
template <int LEFT> static __device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

// Four matrices of 8 x 8 from shared memory, thread l with the address of row
// l % 8 of matrix l / 8; each thread has two neighbours of row l / 4 of each.
static __device__ __forceinline__ void load_four(u32 (&to)[4],
                                                 const Chunk *row) {
  const unsigned at = (unsigned)__cvta_generic_to_shared(row);
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, "
               "[%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(at)
               : "memory");
}
// The same of the matrices turned over their diagonals.
static __device__ __forceinline__ void load_four_turned(u32 (&to)[4],
                                                        const Chunk *row) {
  const unsigned at = (unsigned)__cvta_generic_to_shared(row);
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, "
               "%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(at)
               : "memory");
}

// c [16, 8] += a [16, 16] · b [16, 8], summed in f32.
template <class T>
static __device__ __forceinline__ void
multiply_add(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1);
template <>
__device__ __forceinline__ void
multiply_add<Brain>(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, "
               "%2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ __forceinline__ void
multiply_add<Half>(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, "
               "%2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// 2 to the power v, within two last bits.
static __device__ __forceinline__ float power_of_two(float v) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(v));
  return power;
}

#endif

// Two neighbours as the tensor cores take them.
template <class T>
static __device__ __forceinline__ u32 pair_of(float low, float high) {
  T a, b;
  narrow(&a, low);
  narrow(&b, high);
  return (u32)a.bits | (u32)b.bits << 16;
}
