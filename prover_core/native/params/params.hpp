// Written by derive.py; `make check` fails where the two differ. Do not edit.
#pragma once
#include <cstdint>

namespace hp::params {

/// The scalar field: order of G1 and G2.
struct FrParams {
  static constexpr uint64_t modulus[4] = {0x43e1f593f0000001, 0x2833e84879b97091, 0xb85045b68181585d, 0x30644e72e131a029};
  /// -modulus^-1 mod 2^64
  static constexpr uint64_t n0 = 0xc2e1f593efffffff;
  /// modulus^-1 mod 2^62
  static constexpr uint64_t inverse62 = 0x3d1e0a6c10000001;
  /// 2^256, 2^512 and 2^768 mod modulus
  static constexpr uint64_t r1[4] = {0xac96341c4ffffffb, 0x36fc76959f60cd29, 0x666ea36f7879462e, 0x0e0a77c19a07df2f};
  static constexpr uint64_t r2[4] = {0x1bb8e645ae216da7, 0x53fe3ab1e35c59e3, 0x8c49833d53bb8085, 0x0216d0b17f4e44a5};
  static constexpr uint64_t r3[4] = {0x5e94d8e1b4bf0040, 0x2a489cbe1cfbb6b8, 0x893cc664a19fcfed, 0x0cf8594b7fcc657c};
  /// (modulus - 1) / 2
  static constexpr uint64_t half[4] = {0xa1f0fac9f8000000, 0x9419f4243cdcb848, 0xdc2822db40c0ac2e, 0x183227397098d014};
};

/// The base field.
struct FqParams {
  static constexpr uint64_t modulus[4] = {0x3c208c16d87cfd47, 0x97816a916871ca8d, 0xb85045b68181585d, 0x30644e72e131a029};
  /// -modulus^-1 mod 2^64
  static constexpr uint64_t n0 = 0x87d20782e4866389;
  /// modulus^-1 mod 2^62
  static constexpr uint64_t inverse62 = 0x382df87d1b799c77;
  /// 2^256, 2^512 and 2^768 mod modulus
  static constexpr uint64_t r1[4] = {0xd35d438dc58f0d9d, 0x0a78eb28f5c70b3d, 0x666ea36f7879462c, 0x0e0a77c19a07df2f};
  static constexpr uint64_t r2[4] = {0xf32cfc5b538afa89, 0xb5e71911d44501fb, 0x47ab1eff0a417ff6, 0x06d89f71cab8351f};
  static constexpr uint64_t r3[4] = {0xb1cd6dafda1530df, 0x62f210e6a7283db6, 0xef7f0b0c0ada0afb, 0x20fd6e902d592544};
  /// (modulus - 1) / 2
  static constexpr uint64_t half[4] = {0x9e10460b6c3e7ea3, 0xcbc0b548b438e546, 0xdc2822db40c0ac2e, 0x183227397098d014};
};

/// r - 1 = 2^two_adicity * odd
inline constexpr unsigned two_adicity = 28;
/// Generator of Fr*, Montgomery.
inline constexpr uint64_t fr_generator[4] = {0x1b0d0ef99fffffe6, 0xeaba68a3a32a913f, 0x47d8eb76d8dd0689, 0x15d0085520f5bbc3};  // 5
/// [k]: 5^((r-1) / 2^k), a primitive 2^k-th root of unity, Montgomery.
inline constexpr uint64_t fr_roots[29][4] = {
    {0xac96341c4ffffffb, 0x36fc76959f60cd29, 0x666ea36f7879462e, 0x0e0a77c19a07df2f},
    {0x974bc177a0000006, 0xf13771b2da58a367, 0x51e1a2470908122e, 0x2259d6b14729c0fa},
    {0x7f753d979edcef8b, 0x5f3f172cb1479120, 0x8db1627974096c6e, 0x2b377b3539c108cf},
    {0xf8ad4ae2b5ad7c3f, 0x2d60c6ff83cb85be, 0xd976fd2b5d9429f7, 0x24407ce73f9ad9a9},
    {0xf4b67d7c742f8f03, 0x681b2ddc63d068cc, 0x8ce5bcef1bfb576a, 0x167c2951d2b63cfe},
    {0x2214f7b1bf574c64, 0x28f9232ff7317df2, 0xe57584a8b0ad75cd, 0x2b81fb59dc176d03},
    {0x8e9003e5818f61bf, 0x8c9bbf349bf8fec2, 0x53dceecd3f01534e, 0x2690966be529aa3c},
    {0x0a79c43026817bb1, 0x7bb2cc7c99537df0, 0xb6ca27d50241e6de, 0x007ab33f3632f04c},
    {0xa2afb83f83a24acc, 0x92f255d9525d536e, 0x5e7566080286dd19, 0x187bb1a6c52d2549},
    {0x9c533be722a423de, 0x642a9d127cdf6e0d, 0x0dbc7546409ac005, 0x00f04c8db23d5082},
    {0x1ef4b3b4280c1184, 0xcf7ad4c2ae5e2a2c, 0xb8063b6cc5a36518, 0x2348c4b965dfc08c},
    {0x48e72189ae4fcfb2, 0x0a03fb3c8df85a07, 0xff4d8a35ea9b2e0a, 0x28a98c2ecd9c1d77},
    {0x1dd4522fb3ecdbd3, 0x68222a93d055f3ad, 0xbe9c7d66b3d555e8, 0x1b92f6b86194f846},
    {0x894cdcbe79a04ed6, 0x956cde6a44d30787, 0x59a1b62bd7dbc15f, 0x12ebe4109a806f4e},
    {0xba13a0c74d05eab8, 0x2e015d6311ab3116, 0xb503922c8ca5a05a, 0x06be15d7fee394da},
    {0x804ef7055bfdb854, 0x7aa76b7140ceeaf2, 0xfcc95a68b2fe89cb, 0x1d461c35f1c406c7},
    {0x47b3e75939397433, 0x6d3a3a920d1c24d1, 0xa134125174f75f43, 0x1b821f01ee6ad556},
    {0xda05b8d81204dc7c, 0x48322ae606308d41, 0x35358e27849e892c, 0x040fcafbd62dd592},
    {0x2566c62f09700b84, 0x33183a76a0bf8660, 0xd9398f59575058f1, 0x056d2ece39d1cd34},
    {0x049ea3b7e6a27a36, 0xefebe603053edbbc, 0x8424b45a3ace9ed4, 0x287c8390a688795e},
    {0xda32d465aa8d931a, 0x2669f68561808f9c, 0x247bab46e4c8b085, 0x0d3b668781d6021a},
    {0x27ea2192f5322f3c, 0xb11884e9658fe9a7, 0x3a8623bca053c069, 0x128ff3f025e139a6},
    {0x9b8e226ebcef1af2, 0x9e45f1abdf406b60, 0x538dd257d5a7bb3d, 0x0a3893037882a3bc},
    {0x6e482404c09e9100, 0x0d7591c7590025b2, 0xa40227793a5ebe11, 0x0164a6c3c1a94ca8},
    {0xc722bd69d84fd030, 0x600e4a26cf52162c, 0xfb727ed745f3a7e9, 0x1652a7b269fb275c},
    {0x400efaff575c07e2, 0x552373494b8f9ac5, 0xaa79abed81e7ad37, 0x1ac6e5b8084d2e39},
    {0xa0a29422c98a20fe, 0x73d462ca65935c9d, 0xe1ba4a6ed44582f7, 0x28fc14c00c3a82b6},
    {0x8759641480890267, 0x4a3a78b5e4c00349, 0x49004fdd52a6b17e, 0x284517dd65e6ea12},
    {0x636e735580d13d9c, 0xa22bf3742445ffd6, 0x56452ac01eb203d8, 0x1860ef942963f9e7},
};

/// y^2 = x^3 + b on G1, b = 3, Montgomery.
inline constexpr uint64_t g1_b[4] = {0x7a17caa950ad28d7, 0x1f6ac17ae15521b9, 0x334bea4e696bd284, 0x2a1f6744ce179d8e};
/// The generator (1, 2) of G1, Montgomery.
inline constexpr uint64_t g1_generator[2][4] = {{0xd35d438dc58f0d9d, 0x0a78eb28f5c70b3d, 0x666ea36f7879462c, 0x0e0a77c19a07df2f}, {0xa6ba871b8b1e1b3a, 0x14f1d651eb8e167b, 0xccdd46def0f28c58, 0x1c14ef83340fbe5e}};
/// y^2 = x^3 + b on the twist, b = 3 / (9 + u), Montgomery.
inline constexpr uint64_t g2_b[2][4] = {{0x3bf938e377b802a8, 0x020b1b273633535d, 0x26b7edf049755260, 0x2514c6324384a86d}, {0x38e7ecccd1dcff67, 0x65f0b37d93ce0d3e, 0xd749d0dd22ac00aa, 0x0141b9ce4a688d4d}};
/// EIP-197's generator of G2, Montgomery.
inline constexpr uint64_t g2_generator[2][2][4] = {{{0x8e83b5d102bc2026, 0xdceb1935497b0172, 0xfbb8264797811adf, 0x19573841af96503b}, {0xafb4737da84c6140, 0x6043dd5a5802d8c4, 0x09e950fc52a02f86, 0x14fef0833aea7b6b}}, {{0x619dfa9d886be9f6, 0xfe7fd297f59e9b78, 0xff9e1a62231b7dfe, 0x28fd7eebae9e4206}, {0x64095b56c71856ee, 0xdc57f922327d3cbb, 0x55f935be33351076, 0x0da4a0e693fd6482}}};

/// (x, y) -> (beta x, y) multiplies by lambda on G1, lambda^2 + lambda + 1 = 0; Montgomery in Fq and Fr.
inline constexpr uint64_t g1_beta[4] = {0x3350c88e13e80b9c, 0x7dce557cdb5e56b9, 0x6001b4b8b615564a, 0x2682e617020217e0};
inline constexpr uint64_t g1_lambda[4] = {0x0363f29955fcd653, 0x73e7950b5fc1e200, 0xc5fce83e576d9d24, 0x059c805da1c3a4d4};

/// [k]: xi^(k (q-1)/6): (c w^k)^q = conj(c) * frobenius1[k] w^k, Montgomery.
inline constexpr uint64_t frobenius1[6][2][4] = {
    {{0xd35d438dc58f0d9d, 0x0a78eb28f5c70b3d, 0x666ea36f7879462c, 0x0e0a77c19a07df2f}, {0x0000000000000000, 0x0000000000000000, 0x0000000000000000, 0x0000000000000000}},
    {{0xaf9ba69633144907, 0xca6b1d7387afb78a, 0x11bded5ef08a2087, 0x02f34d751a1f3a7c}, {0xa222ae234c492d72, 0xd00f02a4565de15b, 0xdc2ff3a253dfc926, 0x10a75716b3899551}},
    {{0xb5773b104563ab30, 0x347f91c8a9aa6454, 0x7a007127242e0991, 0x1956bcd8118214ec}, {0x6e849f1ea0aa4757, 0xaa1c7b6d89f89141, 0xb6e713cdfae0ca3a, 0x26694fbb4e82ebc3}},
    {{0xe4bbdd0c2936b629, 0xbb30f162e133bacb, 0x31a9d1b6f9645366, 0x253570bea500f8dd}, {0xa1d77ce45ffe77c7, 0x07affd117826d1db, 0x6d16bd27bb7edc6b, 0x2c87200285defecc}},
    {{0x7361d77f843abe92, 0xa5bb2bd3273411fb, 0x9c941f314b3e2399, 0x15df9cddbb9fd3ec}, {0x5dddfd154bd8c949, 0x62cb29a5a4445b60, 0x37bc870a0c7dd2b9, 0x24830a9d3171f0fd}},
    {{0xc970692f41690fe7, 0xe240342127694b0b, 0x32bee66b83c459e8, 0x12aabced0ab08841}, {0x0d485d2340aebfa9, 0x05193418ab2fcc57, 0xd3b0a40b8a4910f5, 0x2f21ebb535d2925a}},
};
/// [k]: xi^(k (q^2-1)/6), in Fq, Montgomery.
inline constexpr uint64_t frobenius2[6][4] = {
    {0xd35d438dc58f0d9d, 0x0a78eb28f5c70b3d, 0x666ea36f7879462c, 0x0e0a77c19a07df2f},
    {0xca8d800500fa1bf2, 0xf0c5d61468b39769, 0x0e201271ad0d4418, 0x04290f65bad856e6},
    {0x3350c88e13e80b9c, 0x7dce557cdb5e56b9, 0x6001b4b8b615564a, 0x2682e617020217e0},
    {0x68c3488912edefaa, 0x8d087f6872aabf4f, 0x51e1a24709081231, 0x2259d6b14729c0fa},
    {0x71930c11d782e155, 0xa6bb947cffbe3323, 0xaa303344d4741444, 0x2c3b3f0d26594943},
    {0x08cfc388c494f1ab, 0x19b315148d1373d4, 0x584e90fdcb6c0213, 0x09e1685bdf2f8849},
};
/// [k]: xi^(k (q^3-1)/6), Montgomery.
inline constexpr uint64_t frobenius3[6][2][4] = {
    {{0xd35d438dc58f0d9d, 0x0a78eb28f5c70b3d, 0x666ea36f7879462c, 0x0e0a77c19a07df2f}, {0x0000000000000000, 0x0000000000000000, 0x0000000000000000, 0x0000000000000000}},
    {{0x365316184e46d97d, 0x0af7129ed4c96d9f, 0x659da72fca1009b5, 0x08116d8983a20d23}, {0xb1df4af7c39c1939, 0x3d9f02878a73bf7f, 0x9b2220928caf0ae0, 0x26684515eff054a6}},
    {{0xc9af22f716ad6bad, 0xb311782a4aa662b2, 0x19eeaf64e248c7f4, 0x20273e77e3439f82}, {0xacc02860f7ce93ac, 0x3933d5817ba76b4c, 0x69e6188b446c8467, 0x0a46036d4417cc55}},
    {{0x5764af0aaf46471e, 0xdc50792e873e0fc1, 0x86a673ff881d04f6, 0x0b2eddb43c30a74c}, {0x9a490f32787e8580, 0x8fd16d7ff04af8b1, 0x4b39888ec6027bf2, 0x03dd2e705b52a15d}},
    {{0x448a93a57b6762df, 0xbfd62df528fdeadf, 0xd858f5d00e9bd47a, 0x06b03d4d3476ec58}, {0x2b19daf4bcc936d1, 0xa1a54e7a56f4299f, 0xb533eee05adeaef1, 0x170c812b84dda0b2}},
    {{0xe0bc4b2275cf559f, 0xc238b945c154e60f, 0x803982a5929a7d5e, 0x15ce052df7e4a37e}, {0x2d28efbdbf3799a7, 0x9b097e3c1ad60773, 0x982d4113af4a535b, 0x24e18991e3056063}},
};
/// The BN parameter x = 4965661367192848881 in signed digits, most significant first.
inline constexpr int8_t bn_x_digits[63] = {1, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, -3, 0, 0, 0, 3, 0, 0, 0, 0, 5, 0, 0, 0, -5, 0, 0, 0, -3, 0, 0, 0, 1, 0, 0, 0, 0, 5, 0, 0, 0, 0, 7, 0, 0, 0, -7, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, -1, 0, 0, 0, 1};
/// Non-adjacent form of 6x + 2, which the ate loop reads (weight 22).
inline constexpr int8_t ate_naf[65] = {1, 1, 0, 1, 0, 0, 0, -1, 0, -1, 0, 0, 0, -1, 0, 1, 0, -1, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, -1, 0, 1, 0, 0, -1, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0, -1, 0, -1, 0, 0, 1, 0, 0, 0, -1, 0, 0, -1, 0, 1, 0, 1, 0, 0, 0};

}  // namespace hp::params
