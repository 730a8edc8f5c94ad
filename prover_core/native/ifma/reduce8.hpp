// The weighted sum of a window's buckets.
#pragma once
#include "ifma/buckets8.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {

/// Sum of (i + 1) buckets[i], by running sums in `lanes` stretches side by side, two affine additions a bucket.
///
/// Stretch s covers buckets [s len, (s + 1) len): its running sum T_s ends as the sum of its buckets, A_s as the sum of
/// their weights within the stretch, and the whole is sum A_s + len sum s T_s, where the second sum is the same problem
/// again, `lanes` / `len` times smaller. Returns x, y in the engine's scaled form, to be unscaled by the caller.
template <class E>
class Reducer {
 public:
  /// n: a power of two. The result's parts: total = sum of parts[k] * 2^shift[k].
  struct Part {
    Stored<E> point;
    unsigned shift;
  };

  /// Appends parts whose sum, each times 2^shift, is sum of weight(i) buckets[i]: weight i + 1 (`from_one`) or i.
  /// Returns the plain sum of the buckets.
  Stored<E> reduce(const Stored<E>* buckets, std::uint32_t n, bool from_one, unsigned shift, std::vector<Part>& parts) {
    std::uint32_t len = 1;
    unsigned log_len = 0;
    while (n / len > 2048 || (n / len > 1 && len < 16)) len *= 2, log_len++;
    const std::uint32_t stretches = (n + len - 1) / len, vectors = (stretches + 7) / 8;
    // rows: incoming buckets, running sums, accumulated sums
    std::vector<Row<E>> rows(size_t(vectors) * 3);
    std::vector<Pair> pairs;
    const Row<E> blank{E::zero(), E::zero()};
    for (auto& r : rows) r = blank;
    // step t adds bucket len - 1 - t to the running sums; the sums before it go to the accumulated ones (weight from 0),
    // so that both additions of a step are independent
    for (std::uint32_t t = 0; t <= len; t++) {
      pairs.clear();
      const bool last = t == len;
      for (std::uint32_t v = 0; v < vectors; v++) {
        if (t > 0 && (!last || from_one)) {
          // accumulated += running, before running changes: use a copy in the third row block
          pairs.push_back({2 * vectors + v, vectors + v, 1, 0, 0, 0, 0});
        }
      }
      adder_.add(rows.data(), pairs, [] {});
      if (last) break;
      pairs.clear();
      for (std::uint32_t v = 0; v < vectors; v++) {
        load(rows[v], buckets, v, stretches, len, len - 1 - t);
        pairs.push_back({vectors + v, v, 1, 0, 0, 0, 0});
      }
      adder_.add(rows.data(), pairs, [] {});
    }
    std::vector<Stored<E>> running(stretches), accumulated(stretches);
    for (std::uint32_t v = 0; v < vectors; v++) {
      store(rows[vectors + v], running.data(), v, stretches);
      store(rows[2 * vectors + v], accumulated.data(), v, stretches);
    }
    parts.push_back({plain_sum(accumulated), shift});
    if (stretches == 1) return running[0];
    return reduce(running.data(), stretches, false, shift + log_len, parts);
  }

 private:
  PairAdder<E> adder_;

  Stored<E> plain_sum(const std::vector<Stored<E>>& points) {
    std::vector<std::uint32_t> refs(points.size());
    for (size_t i = 0; i < refs.size(); i++) refs[i] = stored_bit | std::uint32_t(i);
    std::vector<List> lists{{0, 0, std::uint32_t(refs.size())}};
    Stored<E> out{};
    BucketSummer<E>().sum(nullptr, refs.data(), lists, points.data(), &out);
    return out;
  }

  static void load(Row<E>& row, const Stored<E>* buckets, std::uint32_t v, std::uint32_t stretches, std::uint32_t len,
                   std::uint32_t offset) {
    alignas(64) u64 t[2 * E::words][8];
    for (std::uint32_t i = 0; i < 8; i++) {
      const std::uint32_t s = v * 8 + i;
      for (int j = 0; j < E::words; j++) {
        t[j][i] = s < stretches ? buckets[size_t(s) * len + offset].x[j] : 0;
        t[E::words + j][i] = s < stretches ? buckets[size_t(s) * len + offset].y[j] : 0;
      }
    }
    for (int j = 0; j < E::words; j++) {
      row.x.limbs()[j] = _mm512_load_si512(t[j]);
      row.y.limbs()[j] = _mm512_load_si512(t[E::words + j]);
    }
  }

  static void store(Row<E>& row, Stored<E>* out, std::uint32_t v, std::uint32_t n) {
    alignas(64) u64 t[2 * E::words][8];
    for (int j = 0; j < E::words; j++) {
      _mm512_store_si512(t[j], row.x.limbs()[j]);
      _mm512_store_si512(t[E::words + j], row.y.limbs()[j]);
    }
    for (std::uint32_t i = 0; i < 8 && v * 8 + i < n; i++)
      for (int j = 0; j < E::words; j++) {
        out[v * 8 + i].x[j] = t[j][i];
        out[v * 8 + i].y[j] = t[E::words + j][i];
      }
  }
};

}  // namespace hp::ifma
HP_WIDE_END
