// One step of a flow-matching sampler in one pass over memory: guidance,
// Euler's or UniPC's update with its corrector, and the blend with a known
// picture (noised to the level that the step ends at) where the matte keeps it.
//
// Of each number it reads the model's outputs (one, or two with guidance) and
// the sample; UniPC also where the last step began and up to three clean
// samples, and writes two more; a matte and what it keeps are read where they
// are given. Guided Euler in bf16: 2 + 2 + 4 read, 4 written = 12 bytes and 5
// operations a number, so it is bound by memory and should reach 90% of the
// measured copy bandwidth. All arrays begin at multiples of 16 bytes. Its check
// alone: longtake-kernels-check sampler_step

#include "number.cuh"
#include "philox.cuh"

struct SamplerStep {
  const void *prompt;   // the model's velocity with the prompt
  const void *negative; // and without; null where the step is not guided
  const float *sample;
  float *next;
  float *clean;      // the clean sample predicted here; null if not wanted
  float *corrected;  // the corrected sample; null if there is no corrector
  const float *from; // where the last step began
  const float *earlier[3]; // clean samples of the last steps, the latest first
  const float *matte;      // a number a place; 1 makes, 0 keeps; null makes all
  const float *known;      // what is kept
  u64 count, plane;        // numbers; numbers a channel
  u64 seed;                // of the noise that what is kept is given
  float scale;             // of guidance
  float sigma;             // the level that the step begins at
  float correct[5]; // weights of `from`, `earlier` and the new clean sample
  float predict[5]; // weights of the sample, the new clean sample, `earlier`
  float level;      // the level that the step ends at
  int corrects, predicts; // how many of `earlier` count; -1: Euler
  int frame, row, column;
  u32 rows, columns;
};

struct Stepped {
  float next, clean, corrected;
};

// The step of one number; the order of operations is that of sampler_step.rs.
static __device__ __forceinline__ Stepped step(const SamplerStep &a,
                                               float prompt, float negative,
                                               float sample, float from,
                                               const float *earlier) {
  float velocity = prompt;
  if (a.negative)
    velocity = negative + (prompt - negative) * a.scale;
  Stepped s;
  s.clean = sample - velocity * a.sigma;
  s.corrected = sample;
  if (a.predicts < 0) {
    s.next = sample + velocity * a.predict[0];
    return s;
  }
  if (a.corrected) {
    float sum = from * a.correct[0];
#pragma unroll
    for (int i = 0; i < 3; ++i)
      if (i < a.corrects)
        sum = sum + earlier[i] * a.correct[1 + i];
    s.corrected = sum + s.clean * a.correct[4];
  }
  float sum = s.corrected * a.predict[0] + s.clean * a.predict[1];
#pragma unroll
  for (int i = 0; i < 3; ++i)
    if (i < a.predicts)
      sum = sum + earlier[i] * a.predict[2 + i];
  s.next = sum;
  return s;
}

// What is kept stands, noised to the step's level.
static __device__ __forceinline__ float keep(const SamplerStep &a, u64 i,
                                             float made) {
  const u64 place = i % a.plane;
  const float m = a.matte[place];
  if (m >= 1.0f)
    return made;
  const u32 x = (u32)(place % a.columns), line = (u32)(place / a.columns);
  const float noise =
      noise_at(a.seed, (u32)a.frame + line / a.rows, (u32)a.row + line % a.rows,
               (u32)a.column + x, (u32)(i / a.plane));
  const float kept = a.known[i] * (1.0f - a.level) + noise * a.level;
  return m > 0.0f ? made * m + kept * (1.0f - m) : kept;
}

template <class T>
static __device__ __forceinline__ void run(const SamplerStep &a) {
  const T *prompt = (const T *)a.prompt, *negative = (const T *)a.negative;
  const int read = a.corrects > a.predicts ? a.corrects : a.predicts;
  // Four numbers a thread, each array read and written in one piece.
  const u64 first = thread_index() * 4;
  if (first + 4 <= a.count) {
    const Four<T> p = *(const Four<T> *)(prompt + first);
    Four<T> n = {};
    if (negative)
      n = *(const Four<T> *)(negative + first);
    const Four<float> sample = *(const Four<float> *)(a.sample + first);
    Four<float> from = {}, earlier[3] = {}, next, clean, corrected;
    if (a.corrected)
      from = *(const Four<float> *)(a.from + first);
#pragma unroll
    for (int i = 0; i < 3; ++i)
      if (i < read)
        earlier[i] = *(const Four<float> *)(a.earlier[i] + first);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float e[3] = {earlier[0].v[j], earlier[1].v[j], earlier[2].v[j]};
      const Stepped s =
          step(a, widen(p.v[j]), widen(n.v[j]), sample.v[j], from.v[j], e);
      next.v[j] = a.matte ? keep(a, first + j, s.next) : s.next;
      clean.v[j] = s.clean;
      corrected.v[j] = s.corrected;
    }
    *(Four<float> *)(a.next + first) = next;
    if (a.clean)
      *(Four<float> *)(a.clean + first) = clean;
    if (a.corrected)
      *(Four<float> *)(a.corrected + first) = corrected;
    return;
  }
  for (u64 i = first; i < a.count; ++i) {
    float e[3] = {};
#pragma unroll
    for (int k = 0; k < 3; ++k)
      if (k < read)
        e[k] = a.earlier[k][i];
    const Stepped s =
        step(a, widen(prompt[i]), negative ? widen(negative[i]) : 0.0f,
             a.sample[i], a.corrected ? a.from[i] : 0.0f, e);
    a.next[i] = a.matte ? keep(a, i, s.next) : s.next;
    if (a.clean)
      a.clean[i] = s.clean;
    if (a.corrected)
      a.corrected[i] = s.corrected;
  }
}

KERNEL void sampler_step_f32(SamplerStep a) { run<float>(a); }
KERNEL void sampler_step_f16(SamplerStep a) { run<Half>(a); }
KERNEL void sampler_step_bf16(SamplerStep a) { run<Brain>(a); }
