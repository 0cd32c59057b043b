// One pass of sine networks over all rows (forward, loss, counts, gradients), and Adam.
//
// A block of rows goes through every layer, forward and backward, before the next one begins:
// activations stay in the cache, and memory does not grow with the signal. Several networks of
// one shape ("members", each with a signal of its own) are served by one call. Products are a
// register-blocked kernel on packed panels; sine and cosine share one range reduction.
//
// Plain C interface for ctypes; see compiled.py. Row-major float32 throughout.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <mutex>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16, TILE_ROWS = 12;
#else
constexpr int LANES = 8, TILE_ROWS = 6;
#endif
constexpr int PANEL = 2 * LANES;  // columns of one packed panel
constexpr int DEPTH = 256;        // rows of a panel used at once, so that it stays in L1

typedef float Vector __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

long padded(long columns) { return (columns + LANES - 1) / LANES * LANES; }
long packed_size(long depth, long columns) { return (columns + PANEL - 1) / PANEL * PANEL * depth; }

// ---- products ------------------------------------------------------------------------------

// C[ROWS x VECTORS * LANES] (+)= A B: A strided, B part of one packed panel.
template <int ROWS, int VECTORS>
void tile(int depth, const float* a, long a_row, long a_column, const float* b, float* c,
          long c_row, bool add) {
    Vector sum[ROWS][VECTORS];
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < VECTORS; ++v)
            sum[r][v] = add ? *(const Vector*)(c + r * c_row + v * LANES) : Vector{};
    for (int k = 0; k < depth; ++k) {
        Vector right[VECTORS];
        for (int v = 0; v < VECTORS; ++v) right[v] = *(const Vector*)(b + k * PANEL + v * LANES);
        for (int r = 0; r < ROWS; ++r) {
            const float left = a[r * a_row + k * a_column];
            for (int v = 0; v < VECTORS; ++v) sum[r][v] += left * right[v];
        }
    }
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < VECTORS; ++v) *(Vector*)(c + r * c_row + v * LANES) = sum[r][v];
}

template <int ROWS>
void tile_of(int rows, bool wide, int depth, const float* a, long a_row, long a_column,
             const float* b, float* c, long c_row, bool add) {
    if constexpr (ROWS > 0) {
        if (rows < ROWS)
            tile_of<ROWS - 1>(rows, wide, depth, a, a_row, a_column, b, c, c_row, add);
        else if (wide)
            tile<ROWS, 2>(depth, a, a_row, a_column, b, c, c_row, add);
        else
            tile<ROWS, 1>(depth, a, a_row, a_column, b, c, c_row, add);
    }
}

// Panels of PANEL columns, each `depth` rows long, padded with zeros.
void pack(int depth, int columns, const float* b, long b_row, long b_column, float scale,
          float* out) {
    for (int n = 0; n < columns; n += PANEL) {
        const int width = std::min(PANEL, columns - n);
        for (int k = 0; k < depth; ++k, out += PANEL) {
            const float* row = b + k * b_row + n * b_column;
            for (int j = 0; j < width; ++j) out[j] = scale * row[j * b_column];
            for (int j = width; j < PANEL; ++j) out[j] = 0;
        }
    }
}

// C (+)= A B with B packed; rows of C hold padded(columns) floats at least.
void multiply(int rows, int columns, int depth, const float* a, long a_row, long a_column,
              const float* packed, float* c, long c_row, bool add) {
    for (int k = 0; k < depth; k += DEPTH)
        for (int n = 0; n < columns; n += PANEL)
            for (int m = 0; m < rows; m += TILE_ROWS)
                tile_of<TILE_ROWS>(std::min(TILE_ROWS, rows - m), columns - n > LANES,
                                   std::min(DEPTH, depth - k), a + m * a_row + k * a_column, a_row,
                                   a_column, packed + (long)n * depth + (long)k * PANEL,
                                   c + m * c_row + n, c_row, add || k > 0);
}

// sum[j] += the sum of column j, in registers.
void add_columns(int rows, int columns, const float* x, long x_row, float* sum) {
    int j = 0;
    for (; j + LANES <= columns; j += LANES) {
        Vector total = *(const Vector*)(sum + j);
        for (int i = 0; i < rows; ++i) total += *(const Vector*)(x + i * x_row + j);
        *(Vector*)(sum + j) = total;
    }
    for (; j < columns; ++j)
        for (int i = 0; i < rows; ++i) sum[j] += x[i * x_row + j];
}

// ---- elementwise ---------------------------------------------------------------------------

// In place z -> sin z, and cos z beside it; absolute error below 1e-7. Reduction by pi/2 in three
// parts is exact enough for |z| < 8192; beyond that, and for NaN, the library's functions.
void sine_cosine(long n, float* z, float* cosine) {
    const float round = 12582912.0f;  // 1.5 * 2**23: adding it rounds to an integer
    int beyond = 0;
    for (long i = 0; i < n; ++i) beyond |= !(std::fabs(z[i]) < 8192.0f);
    if (beyond) {
        for (long i = 0; i < n; ++i) {
            cosine[i] = std::cos(z[i]);
            z[i] = std::sin(z[i]);
        }
        return;
    }
    for (long i = 0; i < n; ++i) {
        const float x = z[i];
        const float turns = x * 0.636619772f + round;
        const float q = turns - round;
        float r = x - q * 1.5703125f;
        r = r - q * 4.8351287841796875e-4f;
        r = r - q * 3.13916473e-7f;
        const float s = r * r;
        const float odd = r + r * s * (-1.6666654611e-1f + s * (8.3321608736e-3f + s * -1.9515295891e-4f));
        const float even =
            1 - 0.5f * s + s * s * (4.166664568e-2f + s * (-1.388731625e-3f + s * 2.443315712e-5f));
        int32_t quadrant, a, b;
        std::memcpy(&quadrant, &turns, 4);
        const float u = quadrant & 1 ? even : odd, v = quadrant & 1 ? odd : even;
        std::memcpy(&a, &u, 4);
        std::memcpy(&b, &v, 4);
        a ^= (quadrant & 2) << 30;
        b ^= ((quadrant + 1) & 2) << 30;
        std::memcpy(&z[i], &a, 4);
        std::memcpy(&cosine[i], &b, 4);
    }
}

// exp(x) for x <= 0, relative error below 3e-7; underflows to about 1e-38.
inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    const float round = 12582912.0f;
    const float n = x * 1.44269504f + round;
    const float q = n - round;
    const float r = (x - q * 0.693359375f) - q * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1;
    int32_t bits, power;
    std::memcpy(&bits, &p, 4);
    std::memcpy(&power, &n, 4);
    bits += power << 23;
    std::memcpy(&p, &bits, 4);
    return p;
}

// log(1 + e) for 0 <= e <= 1 as 2 artanh(e / (2 + e)), relative error below 2e-7.
inline float log_of_one_plus(float e) {
    const float s = e / (2 + e), t = s * s;
    return 2 * s *
           (1 + t * (0.333333333f + t * (0.2f + t * (0.142857143f + t * (0.111111111f + t * (0.0909090909f + t * 0.0769230769f))))));
}

}  // namespace

extern "C" {

// Everything a pass needs; pointers are to arrays of all members, one after another.
struct Problem {
    int32_t members, threads, layers, block;     // linear layers; rows of one block
    int32_t bits, channels, rows_per_position, values;  // values: MSE on values, not BCE on bits
    int64_t rows;
    float focus;
    const int32_t* sizes;      // layers + 1
    const float* scales;       // layers: omega of each sine, 1 for the output layer
    const float* weights;      // of each layer: weight (out, in), bias (out)
    float* gradients;          // same layout; null: no gradients
    const float* coordinates;  // (rows, sizes[0]), shared
    const void* targets;       // uint8 bits or float32 values, (rows, sizes[layers])
    const int64_t* truth;      // (positions, channels)
    int64_t* decoded;          // (positions, channels)
    double* loss;              // mean weighted loss
    double* margin;            // smallest distance to a decision boundary
    int64_t* errors;           // (bits + 1): wrong bits per plane, sum of squared errors
};
}

namespace {

struct Sums {
    double loss, weight, margin;
    std::vector<int64_t> errors;
    std::vector<float> gradient;  // weights in rows of padded(in) floats
};

// Offsets of every layer in the weights, in a thread's gradient and in the packed weights.
struct Layout {
    std::vector<long> weight, gradient, bias, forward, backward;
    long parameters = 0, gradients = 0, packed = 0;
    explicit Layout(const Problem& p) {
        for (int l = 0; l < p.layers; ++l) {
            const long in = p.sizes[l], out = p.sizes[l + 1];
            weight.push_back(parameters);
            gradient.push_back(gradients);
            bias.push_back(packed);
            packed += padded(out);
            forward.push_back(packed);
            backward.push_back(packed + packed_size(in, out));
            parameters += out * in + out;
            gradients += out * padded(in) + out;
            packed += packed_size(in, out) + (p.gradients ? packed_size(out, in) : 0);
        }
    }
};

// Weighted binary cross-entropy of one block; outputs become their gradients.
void bit_loss(const Problem& p, long n, float* o, const uint8_t* bit, Sums& sums) {
    double loss = 0, weights = 0;
    float margin = std::numeric_limits<float>::infinity();
    constexpr long RUN = 256;  // short float sums, added up in double
    for (long begin = 0; begin < n; begin += RUN) {
        const long end = std::min(n, begin + RUN);
        float part = 0, part_weight = 0;
        auto each = [&](auto weight_of) {
#pragma omp simd reduction(+ : part, part_weight) reduction(min : margin)
            for (long i = begin; i < end; ++i) {
                const float x = o[i], t = bit[i], e = exponential(-std::fabs(x));
                const float small = e / (1 + e);
                const float miss = (x > 0 ? 1 - small : small) - t;
                const float w = weight_of(std::fabs(miss));
                part += w * ((x > 0 ? x : x * 0) - x * t + log_of_one_plus(e));
                part_weight += w;
                margin = std::fabs(x) < margin ? std::fabs(x) : margin;
                o[i] = w * miss;
            }
        };
        if (p.focus == 0)
            each([](float) { return 1.0f; });
        else if (p.focus == 1)
            each([](float miss) { return miss; });
        else
            each([&](float miss) { return std::pow(miss, p.focus); });
        loss += part;
        weights += part_weight;
    }
    sums.loss += loss;
    sums.weight += weights;
    sums.margin = std::min(sums.margin, (double)margin);
}

// Squared error of one block; outputs become its gradients.
void value_loss(const Problem& p, long n, float* o, const float* value, Sums& sums) {
    const double top = std::exp2(p.bits) - 1;
    double loss = 0;
    for (long i = 0; i < n; ++i) {
        const double level = (o[i] + 1.0) / 2 * top;
        // Beyond the range values are clamped: the only boundary there is the outermost one.
        const double distance = level < 0     ? 0.5 - level
                                : level > top ? level - (top - 0.5)
                                              : 0.5 - std::fabs(level - std::nearbyint(level));
        sums.margin = std::min(sums.margin, distance);
        const float miss = o[i] - value[i];
        loss += (double)(miss * miss);
        o[i] = 2 * miss;
    }
    sums.loss += loss;
    sums.weight += n;
}

void decode(const Problem& p, long positions, const float* o, int64_t* decoded) {
    const int c = p.channels;
    if (p.values) {
        const double top = std::exp2(p.bits) - 1;
        for (long i = 0; i < positions * c; ++i) {
            const double level = std::nearbyint((o[i] + 1.0) / 2 * top);
            decoded[i] = level > top ? (int64_t)top : level > 0 ? (int64_t)level : 0;
        }
        return;
    }
    std::fill(decoded, decoded + positions * c, 0);
    for (long i = 0; i < positions; ++i)
        for (int plane = 0; plane < p.bits; ++plane, o += c)
            for (int k = 0; k < c; ++k) decoded[i * c + k] |= (int64_t)(o[k] > 0) << plane;
}

void count(const Problem& p, long n, const int64_t* decoded, const int64_t* truth, Sums& sums) {
    for (long i = 0; i < n; ++i) {
        const int64_t wrong = decoded[i] ^ truth[i];
        // Unsigned: with words of more than 24 bits the sum wraps, and the caller makes its own.
        const uint64_t difference = (uint64_t)decoded[i] - (uint64_t)truth[i];
        if (!wrong) continue;
        for (int plane = 0; plane < p.bits; ++plane) sums.errors[plane] += wrong >> plane & 1;
        sums.errors[p.bits] = (int64_t)((uint64_t)sums.errors[p.bits] + difference * difference);
    }
}

// Buffers of one thread.
struct Workspace {
    std::vector<std::vector<float>> inputs, slopes;  // of every layer: its input; cos of the last
    std::vector<float> outputs, delta, next, packed;
    void fit(const Problem& p) {
        long widest = 0;
        for (int l = 0; l <= p.layers; ++l) widest = std::max(widest, padded(p.sizes[l]));
        inputs.resize(p.layers - 1);
        slopes.resize(p.layers - 1);
        for (int l = 1; l < p.layers; ++l) {
            inputs[l - 1].resize(p.block * padded(p.sizes[l]));
            slopes[l - 1].resize(p.block * padded(p.sizes[l]));
        }
        for (auto* buffer : {&outputs, &delta, &next}) buffer->resize(p.block * widest);
        packed.resize(packed_size(p.block, widest));
    }
};

// Kept between passes: fresh memory costs page faults, a third of a pass over a small image.
struct Scratch {
    std::mutex in_use;
    std::vector<float> packed;
    std::vector<Sums> sums;
    std::vector<Workspace> work;
};

void run_rows(const Problem& p, const Layout& at, Workspace& work, int member, long begin, long end,
              const float* packed, Sums& sums) {
    const int last = p.layers - 1, outputs = p.sizes[p.layers];
    const long positions = p.rows / p.rows_per_position;
    for (long row = begin; row < end; row += p.block) {
        const int n = std::min<long>(p.block, end - row);
        const float* x = p.coordinates + row * p.sizes[0];
        long x_row = p.sizes[0];
        for (int l = 0; l <= last; ++l) {
            const int in = p.sizes[l], out = p.sizes[l + 1];
            const long z_row = padded(out);
            float* z = l == last ? work.outputs.data() : work.inputs[l].data();
            for (int i = 0; i < n; ++i) std::copy_n(packed + at.bias[l], z_row, z + i * z_row);
            multiply(n, out, in, x, x_row, 1, packed + at.forward[l], z, z_row, true);
            if (l < last) sine_cosine(n * z_row, z, work.slopes[l].data());
            x = z;
            x_row = z_row;
        }
        // Outputs without padding: from here on they are planes and channels, not columns.
        float* o = work.delta.data();
        for (int i = 0; i < n; ++i) std::copy_n(work.outputs.data() + i * x_row, outputs, o + (long)i * outputs);
        const long position = row / p.rows_per_position, count_of = n / p.rows_per_position;
        const long offset = (member * positions + position) * p.channels;
        decode(p, count_of, o, p.decoded + offset);
        count(p, count_of * p.channels, p.decoded + offset, p.truth + offset, sums);
        const long element = (member * p.rows + row) * outputs;
        if (p.values)
            value_loss(p, (long)n * outputs, o, (const float*)p.targets + element, sums);
        else
            bit_loss(p, (long)n * outputs, o, (const uint8_t*)p.targets + element, sums);
        if (!p.gradients) continue;

        float *delta = work.delta.data(), *next = work.next.data();
        long delta_row = outputs;
        for (int l = last; l >= 0; --l) {
            const int in = p.sizes[l], out = p.sizes[l + 1];
            const long in_row = padded(in);
            const float* input = l ? work.inputs[l - 1].data() : p.coordinates + row * in;
            float* gradient = sums.gradient.data() + at.gradient[l];
            pack(n, in, input, l ? in_row : in, 1, 1.0f, work.packed.data());
            multiply(out, in, n, delta, 1, delta_row, work.packed.data(), gradient, in_row, true);
            float* bias = gradient + out * in_row;
            add_columns(n, out, delta, delta_row, bias);
            if (l == 0) break;
            multiply(n, in, out, delta, delta_row, 1, packed + at.backward[l], next, in_row, false);
            const float* slope = work.slopes[l - 1].data();
            for (long i = 0; i < n * in_row; ++i) next[i] *= slope[i];
            std::swap(delta, next);
            delta_row = in_row;
        }
    }
}

// Waits until all threads have come; they arrive within microseconds of each other, so it spins.
class Barrier {
  public:
    explicit Barrier(int threads) : threads_(threads) {}
    void wait() {
        const int round = round_.load();
        if (come_.fetch_add(1) + 1 == threads_) {
            come_ = 0;
            round_ = round + 1;
        } else {
            while (round_.load() == round) std::this_thread::yield();
        }
    }

  private:
    const int threads_;
    std::atomic<int> come_{0}, round_{0};
};

// Threads that stay: starting one costs as much as a tenth of a pass over a small image.
class Pool {
  public:
    // Calls work(0) .. work(threads - 1) at the same time and waits for all of them.
    void run(int threads, const std::function<void(int)>& work) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            for (; started_ < threads - 1; ++started_)
                std::thread(&Pool::serve, this, started_ + 1, round_.load()).detach();
            work_ = &work;
            wanted_ = threads;
            left_ = threads - 1;
            ++round_;
        }
        wake_.notify_all();
        work(0);
        while (left_.load() > 0) std::this_thread::yield();
    }

  private:
    void serve(int number, int seen) {
        for (;;) {
            // The next pass mostly follows within a millisecond; waking up takes a fifth of one.
            const auto patience = std::chrono::steady_clock::now() + std::chrono::milliseconds(2);
            while (round_.load() == seen && std::chrono::steady_clock::now() < patience)
                std::this_thread::yield();
            const std::function<void(int)>* work;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return round_.load() != seen; });
                work = number < wanted_ ? work_ : nullptr;
                seen = round_.load();
            }
            if (work) {
                (*work)(number);
                --left_;
            }
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    std::atomic<int> round_{0}, left_{0};
    const std::function<void(int)>* work_ = nullptr;
    int started_ = 0, wanted_ = 0;
};

// One pool per process: threads do not survive a fork, so a child makes its own. It is never
// destroyed, because its threads run until the process ends.
void in_threads(int threads, const std::function<void(int)>& work) {
    static Pool* pool = nullptr;
    static pid_t owner = 0;
    static std::mutex calls;  // one pass at a time, whichever thread of Python asks
    if (threads == 1) return work(0);
    std::lock_guard<std::mutex> lock(calls);
    if (owner != getpid()) {
        pool = new Pool;
        owner = getpid();
    }
    pool->run(threads, work);
}

}  // namespace

extern "C" {

void sine_pass(const Problem* problem) {
    const Problem& p = *problem;
    const Layout at(p);
    const long positions = p.rows / p.rows_per_position;
    // Whole networks per thread where they share out evenly, else every network in parts.
    const int parts = p.members % p.threads ? p.threads : 1;
    static Scratch& scratch = *new Scratch;  // never destroyed: a thread may outlive the statics
    std::lock_guard<std::mutex> lock(scratch.in_use);
    std::vector<float>& packed = scratch.packed;
    std::vector<Sums>& sums = scratch.sums;
    std::vector<Workspace>& work = scratch.work;
    packed.resize(p.members * at.packed);
    sums.resize(p.members * parts);
    work.resize(p.threads);
    Barrier barrier(p.threads);
    std::atomic<int> pack_task{0}, row_task{0}, sum_task{0};

    in_threads(p.threads, [&](int thread) {
        for (int t; (t = pack_task++) < p.members * p.layers;) {
            const int member = t / p.layers, l = t % p.layers, in = p.sizes[l], out = p.sizes[l + 1];
            const float* weight = p.weights + member * at.parameters + at.weight[l];
            float* to = packed.data() + member * at.packed;
            std::fill_n(to + at.bias[l], padded(out), 0.0f);
            for (int j = 0; j < out; ++j) to[at.bias[l] + j] = p.scales[l] * weight[(long)out * in + j];
            pack(in, out, weight, 1, in, p.scales[l], to + at.forward[l]);
            if (p.gradients) pack(out, in, weight, in, 1, p.scales[l], to + at.backward[l]);
        }
        work[thread].fit(p);
        barrier.wait();
        for (int t; (t = row_task++) < p.members * parts;) {
            const int member = t / parts, part = t % parts;
            Sums& mine = sums[t];
            mine.loss = mine.weight = 0;
            mine.margin = std::numeric_limits<double>::infinity();
            mine.errors.assign(p.bits + 1, 0);
            if (p.gradients) mine.gradient.assign(at.gradients, 0);
            const long from = positions * part / parts, to = positions * (part + 1) / parts;
            run_rows(p, at, work[thread], member, from * p.rows_per_position, to * p.rows_per_position,
                     packed.data() + member * at.packed, mine);
        }
        barrier.wait();
        for (int t; (t = sum_task++) < p.members * p.layers;) {
            const int member = t / p.layers, l = t % p.layers, in = p.sizes[l], out = p.sizes[l + 1];
            double loss = 0, weight = 0, margin = std::numeric_limits<double>::infinity();
            std::vector<int64_t> errors(p.bits + 1);
            for (int part = 0; part < parts; ++part) {
                const Sums& s = sums[member * parts + part];
                loss += s.loss;
                weight += s.weight;
                margin = std::min(margin, s.margin);
                for (int k = 0; k <= p.bits; ++k) errors[k] += s.errors[k];
            }
            weight = std::max(weight, 1e-30);  // underflows only when every bit is right by far
            if (l == 0) {
                p.loss[member] = loss / weight;
                p.margin[member] = margin;
                std::copy(errors.begin(), errors.end(), p.errors + member * (p.bits + 1));
            }
            if (!p.gradients) continue;
            const float factor = p.scales[l] / weight;
            float* to = p.gradients + member * at.parameters + at.weight[l];
            for (int part = 0; part < parts; ++part) {
                const float* from = sums[member * parts + part].gradient.data() + at.gradient[l];
                for (int row = 0; row <= out; ++row) {  // the row after the last is the bias
                    const int columns = row < out ? in : out;
                    float* sum = to + (long)row * in;
                    const float* term = from + row * padded(in);
                    for (int j = 0; j < columns; ++j) sum[j] = (part ? sum[j] : 0) + term[j];
                }
            }
            for (long i = 0; i < (long)out * (in + 1); ++i) to[i] *= factor;
        }
    });
}

// torch.optim.Adam without weight decay: parameter -= factor * rate * mean / (sqrt(square) * root
// + epsilon), where factor and root hold the corrections for the step. `rate` is each parameter's.
void adam_step(int64_t n, float* parameter, const float* gradient, float* mean, float* square,
               const float* rate, float factor, float root, float beta1, float beta2,
               float epsilon, int32_t threads) {
    const int64_t worth = n / 100000 + 1;  // a thread costs as much as some 10,000 parameters
    const int used = (int)std::min<int64_t>(threads, worth);
    in_threads(used, [=](int t) {
        for (int64_t i = n * t / used; i < n * (t + 1) / used; ++i) {
            mean[i] += (1 - beta1) * (gradient[i] - mean[i]);
            square[i] = beta2 * square[i] + (1 - beta2) * gradient[i] * gradient[i];
            parameter[i] -= factor * rate[i] * mean[i] / (std::sqrt(square[i]) * root + epsilon);
        }
    });
}
}
